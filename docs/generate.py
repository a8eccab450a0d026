"""Writes the generated pages of docs/: python -m docs.generate."""

from docs import cli_page, configuration_page

if __name__ == "__main__":
    for generator in (configuration_page, cli_page):
        generator.PAGE.write_text(generator.page(), encoding="utf-8")
