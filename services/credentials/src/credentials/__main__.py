"""``python -m credentials``: the commands of the platform."""

from credentials.cli import app

if __name__ == "__main__":
    app(prog_name="credentials")
