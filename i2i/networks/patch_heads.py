"""Heads for contrastive learning on patches (Park et al. 2020, section 3): features at places to unit vectors."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F


class PatchHeads(nn.Module):
    """For each layer of features, a perceptron with one hidden layer.

    channels: of each layer of features. width: length of the hidden layers and of the vectors.
    """

    def __init__(self, channels: Sequence[int], width: int = 256):
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(count, width), nn.ReLU(), nn.Linear(width, width)) for count in channels
        )
        for linear in (one for one in self.modules() if isinstance(one, nn.Linear)):
            if not linear.weight.is_meta:
                nn.init.xavier_normal_(linear.weight)
                nn.init.zeros_(linear.bias)

    def forward(self, features: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor]:
        """For each layer: features (N, C, H, W) at places (N, P), counted by rows, to unit vectors (N, P, width)."""
        return [
            F.normalize(head(take(feature, place)), dim=2)
            for head, feature, place in zip(self.heads, features, places, strict=True)
        ]


def take(features: Tensor, places: Tensor) -> Tensor:
    """Return the features (N, C, H, W) at places (N, P) as (N, P, C)."""
    rows = features.permute(0, 2, 3, 1).flatten(1, 2)  # of channels_last no copy is made, and none of the gradient
    return rows.gather(1, places[:, :, None].expand(-1, -1, rows.shape[2]))
