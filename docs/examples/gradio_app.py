"""python gradio_app.py MODEL: a page on which people try a model that translates pictures."""

import sys

import gradio

import i2i


def make_app(name: str) -> gradio.Interface:
    model = i2i.load(name)  # a file, a run folder, a shipped model, or hf://NAMESPACE/NAME

    def translate(photo):
        if photo is None:
            raise gradio.Error("Choose a picture first.")
        try:
            return model(photo)  # a PIL image of any size, and one of the same size
        except i2i.I2IError as error:
            raise gradio.Error(str(error)) from error

    photo = gradio.Image(type="pil", image_mode=None, label="Picture")
    return gradio.Interface(translate, photo, gradio.Image(format="png", label="Translated"), title=name)


if __name__ == "__main__":
    make_app(sys.argv[1] if len(sys.argv) > 1 else "lineart").launch()
