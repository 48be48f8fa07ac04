"""Plans: how a picture is translated, decided by its size alone."""

import pytest

from i2i.errors import ImageError, ModelError, OutOfMemoryError
from i2i.runtime.fit import AUTO, Fit
from i2i.runtime.folder import list_tasks
from i2i.runtime.picture_options import PictureOptions
from i2i.runtime.pipeline import translate_files
from i2i.runtime.plan import TILE_BYTES, Planner, estimated_bytes, padded_sides
from i2i.runtime.translator import Translator
from tests.conftest import save
from tests.runtime.test_translator import identity


def planner(fit=AUTO, **changes):
    translator = identity(3, 16, 32)
    return Planner(translator.spec.model_copy(update=changes), translator.generator, fit, "m.onnx")


@pytest.mark.parametrize(
    ("fit", "changes", "size", "way", "sides", "padded"),
    [
        (Fit(), {}, (40, 20), "whole", (40, 20), (48, 32)),
        (Fit("crop"), {}, (40, 35), "whole", (32, 32), (32, 32)),
        (Fit("resize"), {"trained_side_px": 64}, (32, 40), "whole", (64, 80), (64, 80)),
        (Fit("tile"), {}, (40, 20), "tiles", (40, 20), (48, 32)),
        (Fit("tile", "exact"), {}, (40, 20), "strips", (40, 20), (48, 32)),
        (Fit(), {}, (4000, 4000), "tiles", (4000, 4000), (4000, 4000)),
        (Fit("pad"), {}, (4000, 4000), "whole", (4000, 4000), (4000, 4000)),
        (Fit(), {"fixed_size": (64, 96)}, (40, 20), "whole", (40, 20), (64, 96)),
        (Fit("tile"), {"fixed_size": (64, 96)}, (400, 20), "tiles", (400, 20), (400, 32)),
        (Fit(), {"io": "image"}, (40, 20), "whole", (40, 20), (40, 20)),
    ],
)
def test_a_size_and_the_choices_settle_the_plan(fit, changes, size, way, sides, padded):
    made = planner(fit, **changes)
    plan = made.plan(*size)
    assert (plan.source, plan.way, plan.sides, plan.padded) == (size, way, sides, padded)
    high, wide = padded_sides(made.generator, *sides)
    whole = estimated_bytes(made.generator, high * wide)
    assert plan.memory_bytes == (min(whole, TILE_BYTES) if way == "tiles" else whole)


@pytest.mark.parametrize(
    ("fit", "changes", "size", "error"),
    [
        (Fit("crop"), {}, (40, 20), ImageError),
        (Fit(), {}, (1, 10**6), ImageError),
        (Fit(), {"fixed_size": (64, 96)}, (40, 200), ModelError),
        (Fit("tile"), {"io": "image"}, (40, 20), ModelError),
    ],
)
def test_what_cannot_go_through_is_refused_by_its_size(fit, changes, size, error):
    with pytest.raises(error, match=r"^a\.png "):
        planner(fit, **changes).plan(*size, "a.png")


def test_plans_shrink_until_nothing_is_left():
    made = planner()
    plan, tried = made.plan(500, 700, "a.png"), []
    while plan.way == "whole" or plan.tile_px > 32:
        plan, _ = made.after_out_of_memory(plan, "toaster")
        tried.append(plan.tile_px)
    assert tried == sorted(set(tried), reverse=True)
    with pytest.raises(OutOfMemoryError, match=r"^a\.png"):
        made.after_out_of_memory(plan, "toaster")
    assert made.tile_px == 32


def test_a_refusal_names_the_picture_before_it_is_decoded(tmp_path):
    source = save(tmp_path / "in" / "a.png", 20, 400)
    source.write_bytes(source.read_bytes()[:100])  # the header is whole, the pixels are not
    model = identity(3, 16, 32)
    model = Translator(model.spec, model.backend, "A2B", Fit("crop"))
    result = translate_files(model, list_tasks(tmp_path / "in", tmp_path / "out", 3), options=PictureOptions())
    (refused,) = result.refused
    assert "400x20" in refused.reason
