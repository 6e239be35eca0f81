from wit_world import exports
from wit_world.exports.api import Visitor, Welcome
from wit_world.imports import logging
from componentize_py_types import Err

WELCOMES = {"en": "Welcome", "de": "Willkommen", "fr": "Bienvenue"}


class Api(exports.Api):
    def greet(self, visitor: Visitor) -> Welcome:
        if visitor.name.strip() == "":
            raise Err("Cannot welcome a visitor without a name")
        language = next((tag for tag in visitor.languages if tag in WELCOMES), "en")
        logging.log(logging.Level.INFO, "greet", f"Welcomed a visitor in {language}")
        return Welcome(f"{WELCOMES[language]}, {visitor.name}!", language)
