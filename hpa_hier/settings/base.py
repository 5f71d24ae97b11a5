"""Settings: what every block of a recipe has in common."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Channel = Literal["red", "green", "blue", "yellow"]
Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
AboveZero = Annotated[float, Field(gt=0)]
Folds = Annotated[int, Field(ge=0, le=20)]
Side = Annotated[int, Field(ge=16, le=2048)]  # pixels
Seed = Annotated[int, Field(ge=0, lt=1 << 32)]  # what every library takes
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]  # names a folder


def setting(default: object, meaning: str, unit: str = "") -> Any:  # noqa: ANN401 - is taken for a value of any type
    """Declare a setting of a block.

    Args:
        default: its value where a recipe does not name it.
        meaning: what it does, as `describe_settings` prints it.
        unit: of its numbers, such as pixels.
    """
    return Field(default, description=meaning, json_schema_extra={"unit": unit} if unit else None)


class Settings(BaseModel):
    """A frozen block of settings that refuses unknown names."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _check_truth_value(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, bool) and info.field_name and cls.model_fields[info.field_name].annotation is not bool:
            raise ValueError("must not be true or false")
        return value
