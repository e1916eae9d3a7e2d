"""For plugin authors' tests: network denial, and the test that every extension passes."""

from .resume import Executed, check_resume

__all__ = ["Executed", "check_resume"]
