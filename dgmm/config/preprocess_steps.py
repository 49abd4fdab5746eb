"""The items of `preprocess`: each a mapping with one key, which names the kind of step."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, model_serializer, model_validator

from dgmm.config.settings import Settings
from dgmm.config.values import Count, Flag, Names, Share, refusal
from dgmm.data.transforms.asked_step import AskedStep

Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]


def _increasing(ends: list[float]) -> list[float]:
    if ends[0] >= ends[1]:
        raise refusal("expected the smaller quantile first: [0.01, 0.99]")
    return ends


Quantiles = Annotated[
    list[Annotated[float, Field(strict=False, ge=0, le=1)]],
    Field(min_length=2, max_length=2),
    AfterValidator(_increasing),
]


class AsinhStep(Settings):
    """asinh(x / scale): linear near 0, logarithmic far out."""

    scale: Positive = 1.0
    """Where it turns from linear to logarithmic, in the data's units."""
    columns: Names | None = None
    """Features that it takes; null takes all."""


class LogStep(Settings):
    """log(x + offset), natural; where that is not positive a value becomes missing."""

    offset: Finite = 0.0
    """Added first, in the data's units."""
    columns: Names | None = None
    """Features that it takes; null takes all."""


class ClipStep(Settings):
    """Values below one quantile of their feature or above another are set to these."""

    quantiles: Quantiles
    """Shares of rows: `[0.001, 0.999]`; of a uniform sample where rows are very many."""
    columns: Names | None = None
    """Features that it takes; null takes all."""


class StandardiseStep(Settings):
    """(x - mean) / standard deviation of each feature."""

    columns: Names | None = None
    """Features that it takes; null takes all."""


class PcaStep(Settings):
    """Principal components in place of the features that they are made of."""

    n: Count | None = None
    """How many, of each group of features; this or `variance`."""
    variance: Share | None = None
    """In place of `n`: the fewest that have this share of the variance, of each group apart."""
    variables: Names | None = None
    """Components apart of the features `NAME[...]` of each, called `NAME_pc1` and so on."""
    columns: Names | None = None
    """Features that it takes; null takes all. Components are called `pc1` and so on."""
    whiten: Flag = False
    """Whether components are divided by their standard deviations."""

    @model_validator(mode="after")
    def _one_of_both(self) -> PcaStep:
        if self.n is None and self.variance is None:
            raise refusal("expected n (how many components) or variance (such as 0.9)")
        if self.n is not None and self.variance is not None:
            raise refusal("expected n or variance, not both: remove one of them")
        if self.variables is not None and self.columns is not None:
            raise refusal("expected variables or columns, not both: remove one of them")
        return self


class Step(Settings):
    """A step of `preprocess`: exactly one of these keys."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    asinh: AsinhStep | None = None
    """asinh(x / scale): linear near 0, logarithmic far out."""
    log: LogStep | None = None
    """log(x + offset), natural; where that is not positive a value becomes missing."""
    clip: ClipStep | None = None
    """Values below one quantile of their feature or above another are set to these."""
    standardise: StandardiseStep | None = None
    """(x - mean) / standard deviation of each feature."""
    pca: PcaStep | None = None
    """Principal components in place of the features that they are made of."""

    @model_validator(mode="before")
    @classmethod
    def _one_kind(cls, value: Any) -> Any:
        """`- standardise:` with nothing below it is a step of defaults."""
        if not isinstance(value, dict):
            return value
        if len(value) != 1:
            raise refusal("expected one step an item, such as `- asinh: {scale: 5}`")
        return {kind: {} if given is None else given for kind, given in value.items()}

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        """The kind with its values in force."""
        return {self._kind: getattr(self, self._kind).model_dump(exclude_none=True)}

    @property
    def _kind(self) -> str:
        return next(kind for kind in type(self).model_fields if getattr(self, kind) is not None)

    def asked(self) -> AskedStep:
        """As the data are transformed by it."""
        options = getattr(self, self._kind).model_dump(exclude_none=True)
        columns, variables = options.pop("columns", None), options.pop("variables", None)
        return AskedStep(
            self._kind,
            options,
            None if columns is None else tuple(columns),
            None if variables is None else tuple(variables),
        )
