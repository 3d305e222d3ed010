"""What goes wrong in a company: the stories that generated incidents tell."""

from . import access, business, communication, platform, workplace
from .shapes import Problem, Theme

THEMES: tuple[Theme, ...] = (
    *communication.THEMES,
    *access.THEMES,
    *workplace.THEMES,
    *business.THEMES,
    *platform.THEMES,
)

__all__ = ["THEMES", "Problem", "Theme"]
