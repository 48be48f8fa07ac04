"""PPGN: Nguyen, Clune, Bengio, Dosovitskiy, Yosinski 2017, "Plug & Play Generative Networks".

Notation: G makes an image x from a code h, and the encoder E finds the code of an image. R(h) = E(G(h)) is the
denoising autoencoder of codes that samples towards a class need as their prior (section 3.4, joint PPGN-h);
i2i.runtime.towards draws them. C is the classifier that tells which class. It never sees G, nor G it.

Difference from the paper: its E is a part of a classifier of ImageNet, and its G also learns from a discriminator in
the features of another. Here both are those of a VAE, whose draws of h are the noise that R removes.
"""

from torch import Tensor
from torch.nn import functional as F

from i2i.algorithms.base import Batch, Outputs
from i2i.algorithms.building import build_classifier, classifying_part
from i2i.algorithms.phases import Phase
from i2i.algorithms.vae import VAE
from i2i.config.settings import Config
from i2i.errors import ConfigError
from i2i.models.spec import CLASSIFY, Part


class PlugAndPlay(VAE):
    """A VAE, and a classifier of the same images beside it."""

    reads_labels = needs_labels = True

    def __init__(self, config: Config):
        if not config.data.classes:
            raise ConfigError(f"{config.algorithm} takes its classes from the data, which has none. Add --data.")
        super().__init__(config)
        self.generators[CLASSIFY] = "classifier"
        self.networks["classifier"] = build_classifier(config, self.labels.size)
        self.phases = (*self.phases, Phase("classifier", ("classifier",), role="discriminator"))

    def losses(self, phase: str, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """Those of a VAE; of the classifier, -log C(y|x) of each label set."""
        if phase != "classifier":
            return super().losses(phase, batch, outputs)
        labels = self.labels.each(batch["label"])
        told = self.networks["classifier"](batch["image"]).split([one.shape[1] for one in labels.values()], dim=1)
        pairs = zip(labels.items(), told, strict=True)
        return {f"D_class_{name}": F.cross_entropy(logits, label) for (name, label), logits in pairs}

    def weights(self) -> dict[str, float]:
        """Those of a VAE, and 1 for each label set."""
        return super().weights() | {f"D_class_{block.name}": 1.0 for block in self.labels.blocks}

    def parts(self) -> dict[str, Part]:
        """Return the parts of a VAE, and the classifier's."""
        return super().parts() | {CLASSIFY: classifying_part(self.config, self.labels.blocks)}
