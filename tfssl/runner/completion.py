"""`--completion`: scripts by which a shell completes modes, flags and their values."""

import dataclasses

from tfssl.config import COMPAT, MODES, Config, kind
from tfssl.domains import DOMAINS
from tfssl.text import first_sentence

TRUTH = ("true", "false")
SOME = {"views": tuple(DOMAINS)}  # values of settings that take others too


@dataclasses.dataclass(frozen=True)
class Flag:
    """A flag, as shells complete it.

    Attributes:
        name: without dashes.
        help: a sentence.
        values: to choose from; (): any, such as a file.
    """

    name: str
    help: str
    values: tuple = ()

    @property
    def truth(self):
        """Whether it may stand alone, or as --noNAME."""
        return self.values == TRUTH


def script(shell, more=()):
    """The completion script of a shell, for the command `tfssl`.

    Args:
        shell: "bash", "zsh" or "fish".
        more: `Flag`s besides those of the settings.
    """
    return SHELLS[shell]([*map(of_setting, settings()), *more])


def settings():
    """The fields of all settings, without those for compatibility."""
    return [f for f in dataclasses.fields(Config) if f.metadata["group"] != COMPAT]


def of_setting(field):
    of_type, _, choices = kind(field)
    values = TRUTH if of_type is bool else choices or SOME.get(field.name, ())
    return Flag(field.name, first_sentence(field.metadata["help"]), tuple(map(str, values)))


# bash splits --method=byol into three words where "=" is in COMP_WORDBREAKS, as it usually is.
BASH = """# eval "$(tfssl --completion=bash)"
_tfssl() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" flag="" before="" values=""
    if [[ $word == "=" ]]; then
        flag="${{COMP_WORDS[COMP_CWORD - 1]}}" word=""
    elif ((COMP_CWORD > 1)) && [[ ${{COMP_WORDS[COMP_CWORD - 1]}} == "=" ]]; then
        flag="${{COMP_WORDS[COMP_CWORD - 2]}}"
    elif [[ $word == --*=* ]]; then
        flag="${{word%%=*}}" before="${{word%%=*}}=" word="${{word#*=}}"
    elif [[ $word == -* ]]; then
        values="{flags}"
    elif ((COMP_CWORD == 1)); then
        values="{modes}"
    fi
    case "$flag" in
{cases}
    esac
    if [[ $values ]]; then
        mapfile -t COMPREPLY < <(compgen -P "$before" -W "$values" -- "$word")
    else
        mapfile -t COMPREPLY < <(compgen -P "$before" -f -- "$word")
        compopt -o filenames 2>/dev/null
    fi
    if [[ ${{COMPREPLY[0]}} == *= ]]; then compopt -o nospace 2>/dev/null; fi
}}
complete -F _tfssl tfssl"""


def bash(flags):
    names = {}
    for flag in flags:
        names.setdefault(flag.values, []).append(f"--{flag.name}")
    cases = [
        f'        {"|".join(of)}) values="{" ".join(values)}" ;;'
        for values, of in names.items()
        if values
    ]
    words = [word for flag in flags for word in spellings(flag)]
    return BASH.format(flags=" ".join(words), modes=" ".join(MODES), cases="\n".join(cases))


def spellings(flag):
    """The beginnings of words that give a flag."""
    return (f"--{flag.name}", f"--no{flag.name}") if flag.truth else (f"--{flag.name}=",)


ZSH = """#compdef tfssl
# eval "$(tfssl --completion=zsh)", after: autoload -U compinit && compinit
_tfssl() {{
    local -a modes=(
{modes}
    )
    _arguments \\
{flags}
        '1: :{{ _describe mode modes }}' '*:run:_files'
}}
compdef _tfssl tfssl"""


def zsh(flags):
    modes = "\n".join(f"        {quoted(f'{name}:{mode.help}')}" for name, mode in MODES.items())
    specs = [spec for flag in flags for spec in zsh_specs(flag)]
    return ZSH.format(modes=modes, flags="\n".join(f"        {quoted(spec)} \\" for spec in specs))


def zsh_specs(flag):
    text = "".join(f"\\{c}" if c in "[]:\\" else c for c in flag.help)
    if flag.truth:
        return f"--{flag.name}[{text}]", f"--no{flag.name}[not\\: {text}]"
    values = f"({' '.join(flag.values)})" if flag.values else "_files"
    return (f"--{flag.name}=[{text}]:value:{values}",)


def fish(flags):
    lines = ["# tfssl --completion=fish | source", "complete -c tfssl -f"]
    first = "__fish_is_first_token"
    for name, mode in MODES.items():
        lines.append(f"complete -c tfssl -n {first} -a {name} -d {quoted(mode.help)}")
    for flag in flags:
        takes = f" {'-f' if flag.truth else '-x'} -a {quoted(' '.join(flag.values))}"
        takes = takes if flag.values else " -r -F"
        text = quoted(flag.help)
        lines.append(f"complete -c tfssl -l {flag.name}{takes} -d {text}")
        if flag.truth:
            lines.append(f"complete -c tfssl -l no{flag.name} -d {quoted(f'not: {flag.help}')}")
    return "\n".join(lines)


def quoted(text):
    """A text without backslashes before quotes, in single quotes as zsh and fish read them."""
    return "'" + text.replace("'", "'\"'\"'") + "'"


SHELLS = {"bash": bash, "zsh": zsh, "fish": fish}
