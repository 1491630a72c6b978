"""A child that prints which hosts it may download from."""

import os

print(os.environ.get("VITRINE_URL_HOSTS", ""))
