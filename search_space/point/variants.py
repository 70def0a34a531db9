"""The axes of stages that were published for a width which no width of a unit table gives exactly."""

from __future__ import annotations

from search_space.axis import Axis, Params, Point
from search_space.parts import Backbone
from search_space.point import layout
from search_space.point.layout import trunk
from search_space.tables import TABLE_VARIANTS, TableVariant

AS_TABLE = "table"


def variant_axes() -> tuple[Axis, ...]:
    """Returns the axes of the variants of unit tables."""
    return tuple(
        Axis(
            name=_variant_axis(each),
            formerly=AS_TABLE,
            choices=(AS_TABLE, each.name),
            by_name=(each.name,),
            doc=f"stages of {each.table}: of the table, or those published for width {each.name}, which no width gives",
            active=lambda params, each=each: _may_vary(params, each),  # type: ignore[misc]
        )
        for each in TABLE_VARIANTS
    )


def _variant_axis(variant: TableVariant) -> str:
    return f"{variant.table}_variant"


def _may_vary(params: Point, variant: TableVariant) -> bool:
    """Whether a variant would differ from the stages of the table."""
    at_width = params["backbone"] == variant.table and layout.width(params) == variant.width
    return at_width and trunk(params) >= variant.differs_from


def variant_of(params: Point) -> TableVariant | None:
    """Returns the variant of a point, or None where it has the stages of the table."""
    return next((each for each in TABLE_VARIANTS if params.get(_variant_axis(each)) == each.name), None)


NO_VARIANTS: Params = {_variant_axis(each): AS_TABLE for each in TABLE_VARIANTS}
"""The choices of a backbone with the stages of its table."""


def read_variant(backbone: Backbone) -> Params | None:
    """Returns the choices of a backbone with the stages of a variant, or None."""
    for each in TABLE_VARIANTS:
        told = backbone.coarsest_level >= each.differs_from
        if told and all(stage.units == each.stages.get(stage.level) for stage in backbone.stages):
            found: Params = {"backbone": each.table, "width": each.width, "squeeze": "table"}
            return {**NO_VARIANTS, **found, _variant_axis(each): each.name}
    return None
