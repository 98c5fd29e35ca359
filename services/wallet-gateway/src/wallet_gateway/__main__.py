"""``python -m wallet_gateway``: the commands of the wallet gateway."""

from wallet_gateway.cli import app

if __name__ == "__main__":
    app(prog_name="wallet_gateway")
