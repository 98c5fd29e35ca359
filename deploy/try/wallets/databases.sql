-- Runs once, when the server starts empty; reference_wallet is the image's own first database.
CREATE DATABASE home_wallet;
