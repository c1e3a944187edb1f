"""Shows scaled rows to a network: gaps filled and flagged, levels as flags.

Shapes: B rows, F features, E inputs (see `models.Architecture`).
"""

import torch
from torch import Tensor, nn

from hourglass import wide
from hourglass.schema import Kind, Schema


class Inputs(nn.Module):
    """From scaled rows, (B, F), NaN where a value is missing, to the network's inputs, (B, E).

    A missing number is filled with its column's mean; a missing or unseen level is no flag at all.
    Where the schema says that values may be missing, the columns that had gaps get an indicator
    each, behind the values; of an image or a window all do.

    Args:
        schema: The columns.

    Attributes:
        watch: Whether rows may hold NaN while training; in evaluation they always may.
        fill_F: What gaps are filled with, scaled units; set by the fit, kept with the weights.
    """

    def __init__(self, schema: Schema) -> None:
        super().__init__()
        columns = schema.columns
        self.watch = schema.gaps
        self.fill_F: Tensor
        self.register_buffer("fill_F", torch.zeros(len(columns)))
        gaps = [
            f
            for f, c in enumerate(columns)
            if schema.gaps and (c.missing or schema.shape is not None)
        ]
        self._levels = [(f, c.width) for f, c in enumerate(columns) if c.kind is Kind.CATEGORICAL]
        self._gaps = gaps
        self.width = wide.width(columns) + len(gaps)

    def forward(self, rows_BF: Tensor) -> Tensor:
        """The network's inputs, (B, E)."""
        if not (self.watch or self._levels or not self.training):
            return rows_BF
        missing_BF = rows_BF.isnan()
        filled_BF = torch.where(missing_BF, self.fill_F, rows_BF)
        parts = [filled_BF] if not self._levels else self._flagged(filled_BF, missing_BF)
        if self._gaps:
            parts.append(missing_BF[:, self._gaps].to(rows_BF.dtype))
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]

    def _flagged(self, filled_BF: Tensor, missing_BF: Tensor) -> list[Tensor]:
        """The columns with a flag for each level in place of a code, in their order."""
        parts, start = [], 0
        for f, levels in self._levels:
            codes_B = torch.where(missing_BF[:, f], -1.0, filled_BF[:, f])
            every_L = torch.arange(levels, device=codes_B.device)
            parts += [filled_BF[:, start:f], (codes_B[:, None] == every_L).to(filled_BF.dtype)]
            start = f + 1
        return [*parts, filled_BF[:, start:]]
