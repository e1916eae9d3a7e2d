"""Expressions and answers are parsed by several threads."""

from __future__ import annotations

import gc
import sys
import threading
import time
from typing import Any

from pyscrai_answers.textual_calls import with_textual_calls
from pyscrai_language.expressions import Expression
from pyscrai_records.messages import Message
from pyscrai_records.records import Completion, Request, ToolSpec


def test_threads_may_parse_at_the_same_time() -> None:
    """In CPython 3.11, the parser counts the depth of all threads together: one failed in 158 runs."""
    wrong: list[str] = []
    call = ToolSpec("go", "It goes.", {"type": "object", "properties": {"a": {}}})
    request = Request((Message.user("Go."),), tools=(call,))

    def work(k: int) -> None:
        for number in range(150):
            try:
                Expression("+".join(["(a[1] + 2)"] * 20) + f" + {k} + {number}", ["a"])
                answer = with_textual_calls(Completion(f"[go(a=[[[[[{k}, {number}]]]]])]"), request)
                assert answer.tool_calls
            except SystemError as error:
                wrong.append(str(error))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    threshold, interval = gc.get_threshold(), sys.getswitchinterval()

    def pause(*_: Any) -> None:  # other threads go on
        time.sleep(0)

    gc.callbacks.append(pause)
    try:
        gc.set_threshold(50)
        sys.setswitchinterval(1e-6)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        gc.callbacks.remove(pause)
        gc.set_threshold(*threshold)
        sys.setswitchinterval(interval)
    assert wrong == []
