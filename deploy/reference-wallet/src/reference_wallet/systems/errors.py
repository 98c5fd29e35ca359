"""Facts about the control API."""

from shared.problems import Conflict, NotFound, Unauthorized


class ControlTokenRequired(Unauthorized):
    """The control API wants its own bearer token."""

    code, title = "control_token_required", "Control token required"
    default_detail = "Send the control token as a bearer token."


class SystemUnknown(NotFound):
    """There is no wallet system of this name."""

    code, title = "not_found", "Unknown wallet system"
    default_detail = "There is no wallet system of this name."


class WalletUnknown(NotFound):
    """The wallet system has no such wallet."""

    code, title = "not_found", "Unknown wallet"
    default_detail = "The wallet system has no such wallet."


class KeyIdTaken(Conflict):
    """Another wallet system has an API key of this id."""

    code, title = "key_id_taken", "Key id taken"
    default_detail = "Another wallet system has an API key of this id."


class WalletDiffers(Conflict):
    """The wallet exists, with another owner or currency."""

    code, title = "wallet_differs", "Wallet exists"
    default_detail = "The wallet exists, with another owner or currency."


class FaultsOff(NotFound):
    """Faults are off on this server."""

    code, title = "faults_off", "Faults are off"
    default_detail = "This server makes no faults; CAUSEWAY_WALLET_FAULTS=1 allows them."
