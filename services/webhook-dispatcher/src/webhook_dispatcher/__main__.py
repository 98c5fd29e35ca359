"""``python -m webhook_dispatcher``: the commands of the dispatcher's operators."""

from webhook_dispatcher.cli import app

if __name__ == "__main__":
    app(prog_name="webhook_dispatcher")
