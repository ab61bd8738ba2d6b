"""An object of somebody else's, with some of its parts exchanged for the length of a call.

The object itself stays as it is, for all others who use it, also at the same time. A method that
is to see the exchanged parts is run on the view in place of the object.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any


class View:
    """What it views, but for the attributes that are given; what is set, is set on what it views.

    Methods run on what is viewed, unless one was put on the view by `run_on`.
    """

    def __init__(self, viewed: Any, **instead: Any) -> None:
        vars(self).update(instead, _viewed=viewed)

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["_viewed"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(vars(self)["_viewed"], name, value)


def run_on(view: View, method: str, **names: Any) -> Callable[..., Any]:
    """Have a method of what is viewed run on the view, with other meanings of global names.

    Returns the method. Names that it does not use do not matter.
    """
    function: Any = getattr(type(vars(view)["_viewed"]), method)
    changed = FunctionType(
        function.__code__,
        {**function.__globals__, **names},
        function.__name__,
        function.__defaults__,
    )
    changed.__kwdefaults__ = function.__kwdefaults__
    vars(view)[method] = bound = MethodType(changed, view)
    return bound


def runs_anywhere(viewed: Any, method: str, *names: str) -> bool:
    """Whether a method is its class's plain function, uses these names, and has no closure."""
    function = getattr(type(viewed), method, None)
    return (
        isinstance(function, FunctionType)
        and not function.__closure__
        and method not in getattr(viewed, "__dict__", {})  # somebody else has reached in
        and set(names) <= set(function.__code__.co_names)
    )
