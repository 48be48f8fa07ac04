"""Values as other projects call them: one that is exactly one of ours is taken for it, others say what to set."""

from typing import Any

from i2i.errors import ConfigError

SAME = {
    "algorithm": {"cycle_gan": "cyclegan", "CycleGAN": "cyclegan", "CUT": "cut"},
    "data.direction": {"AtoB": "A2B", "BtoA": "B2A"},
    "generator.name": {"u_net": "unet", "UNet": "unet", "ResNet": "resnet"},
    "discriminator.name": {"n_layers": "patchgan", "PatchGAN": "patchgan"},
    "loss.adversarial": {
        "lsgan": "least_squares",
        "vanilla": "non_saturating",
        "nonsaturating": "non_saturating",
        "rpgan": "relativistic",
    },
    "loss.penalty": {"gp": "gradient", "gradient_penalty": "gradient", "weight_clipping": "clip"},
    "optimizer.name": {"Adam": "adam", "RMSprop": "rmsprop", "SGD": "sgd"},
    "train.precision": {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"},
}
"""By setting, what others call a value of ours."""
SEVERAL = {
    "generator.name": {
        "unet_128": "generator.name=unet with generator.depth=7",
        "unet_256": "generator.name=unet with generator.depth=8",
        "resnet_6blocks": "generator.name=resnet with generator.blocks=6",
        "resnet_9blocks": "generator.name=resnet with generator.blocks=9",
    },
    "discriminator.name": {
        "basic": "discriminator.name=patchgan with discriminator.layers=3",
        "pixel": "discriminator.name=patchgan with discriminator.layers=0",
    },
    "loss.adversarial": {
        "wgan": "loss.adversarial=wasserstein with loss.penalty=clip",
        "wgangp": "loss.adversarial=wasserstein with loss.penalty=gradient",
    },
}
"""Those that are several settings of ours, and which."""


def with_our_names(values: dict[str, Any], source: str) -> dict[str, Any]:
    """Replace the names of other projects in the settings of `source`, in place; raises ConfigError for several."""
    for name in SAME.keys() | SEVERAL.keys():
        *sections, leaf = name.split(".")
        section: Any = values
        for part in sections:
            section = section.get(part) if isinstance(section, dict) else None
        given = section.get(leaf) if isinstance(section, dict) else None
        if not isinstance(given, str):
            continue
        if given in SEVERAL.get(name, {}):
            raise ConfigError(f"{source}: {name} is {given}, which is two settings here. Set {SEVERAL[name][given]}.")
        section[leaf] = SAME.get(name, {}).get(given, given)
    return values
