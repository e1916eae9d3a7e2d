"""How bash, zsh and fish complete, where Click's own scripts fall short."""

from __future__ import annotations

import os
import shlex

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ZshComplete,
    add_completion_class,
)

#: Completes paths behind `--option=`.
ZSH = """
%(complete_func)s_behind_equals() {
    [[ $PREFIX == -*=* ]] && compset -P 1 '*='
    %(complete_func)s "$@"
}
compdef %(complete_func)s_behind_equals %(prog_name)s
"""
#: Fish compares with the whole word, so that `--option=` stands before each value. Help may have commas.
FISH = """\
function %(complete_func)s
    set -lx %(complete_var)s fish_complete
    set -lx COMP_WORDS (commandline -cp)
    set -lx COMP_CWORD (commandline -ct)
    set -l option (string match -r -- '^-[^=]*=' $COMP_CWORD)
    for completion in (%(prog_name)s)
        set -l found (string split -m 1 , -- $completion)
        switch $found[1]
            case dir
                __fish_complete_directories $found[2]
            case file
                __fish_complete_path $found[2]
            case plain
                string join -- '' $found[2]
        end | string replace -r '^' -- "$option"
    end
end
complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""


class Bash(BashComplete):
    """Completes behind `=` and `:` too, at which bash breaks words (`COMP_WORDBREAKS`)."""

    #: What stands before the part of the last word that bash replaces.
    before = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        args, begun = super().get_completion_args()
        words: list[str] = []
        joins = False
        for word in [*args, begun]:
            breaks = bool(word) and not word.strip("=:")
            self.before = ""
            if words and (breaks or joins):
                self.before = words[-1] + (word if breaks else "")
                word = words.pop() + word
            words.append(word)
            joins = breaks
        if self.before.startswith("-"):  # `--label=study=p`: Click takes the option off
            self.before = self.before.partition("=")[2]
        return words[:-1], words[-1]

    def format_completion(self, item: CompletionItem) -> str:
        value = item.value.removeprefix(self.before)
        # Bash inserts it as it is: blanks and quotes need a backslash, unless the word is in quotes already.
        # Click's script reads a line without `-r`, which takes one of two backslashes.
        if item.type == "plain" and not _in_quotes(os.environ["COMP_WORDS"]):
            value = "".join(one if one.isalnum() or one in "_-=:,./@%+" else f"\\\\{one}" for one in value)
        return f"{item.type},{value}"


class Zsh(ZshComplete):
    source_template = ZshComplete.source_template + ZSH
    #: What Click takes off the last word: zsh replaces the whole word.
    option = ""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        name, equals, _ = incomplete.partition("=")
        self.option = name + equals if equals and name.startswith("-") else ""
        return super().get_completions(args, incomplete)

    def format_completion(self, item: CompletionItem) -> str:
        if item.type == "plain":
            item.value = self.option + item.value
        return super().format_completion(item)


class Fish(FishComplete):
    source_template = FISH


def register() -> None:
    """Let these complete instead of Click's own."""
    for shell in (Bash, Zsh, Fish):
        add_completion_class(shell)


def _in_quotes(words: str) -> bool:
    """Whether the last word of a line is in quotes that are still open."""
    try:
        shlex.split(words)
    except ValueError:
        return not words.endswith("\\")
    return False
