"""The exit codes of every command, with the sentences that the reference shows."""

from types import MappingProxyType

EXIT_BAD_OUTCOME = 1
EXIT_WRONG_CALL = 2
EXIT_UNREACHABLE = 3

EXIT_CODE_SENTENCES = MappingProxyType(
    {
        0: "The command did its work.",
        EXIT_BAD_OUTCOME: "The outcome is bad. Somebody has to look at it before going on.",
        EXIT_WRONG_CALL: "The call is wrong. Nothing was done.",
        EXIT_UNREACHABLE: "Something that the command needs could not be reached, did not answer, or has an outdated "
        "schema. A command reports this within 10 seconds.",
    }
)
