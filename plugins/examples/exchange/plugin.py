import json
import re
from decimal import ROUND_HALF_EVEN, Decimal
from urllib.parse import urlsplit

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.exports.api import Conversion, Problem_Argument, Problem_Network, Problem_Service
from wit_world.imports import outgoing_handler, store
from wit_world.imports.streams import InputStream, StreamError_Closed
from wit_world.imports.types import Fields, OutgoingRequest, Scheme_Http, Scheme_Https

ORIGIN = "https://rates.example"
BODY_BYTES_MAX = 64 * 1024


def origin() -> str:
    """Where rates come from: the service, unless the host names another."""
    try:
        return store.get("rates-origin") or ORIGIN
    except Err:
        return ORIGIN


def read(stream: InputStream) -> bytes:
    body = b""
    while True:
        try:
            body += stream.blocking_read(BODY_BYTES_MAX)
        except Err as error:
            if isinstance(error.value, StreamError_Closed):
                return body
            raise Err(Problem_Network("The answer broke off"))
        if len(body) > BODY_BYTES_MAX:
            raise Err(Problem_Service("The answer is too long for a rate"))


def get(path: str) -> bytes:
    """The body of a GET under the origin, where the answer is 200."""
    url = urlsplit(origin())
    request = OutgoingRequest(Fields())
    request.set_scheme(Scheme_Http() if url.scheme == "http" else Scheme_Https())
    request.set_authority(url.netloc)
    request.set_path_with_query(path)
    try:
        with outgoing_handler.handle(request, None) as pending:
            with pending.subscribe() as ready:
                ready.block()
            answer = pending.get()
    except Err as error:
        raise Err(Problem_Network(f"The request was not made: {type(error.value).__name__}"))
    if answer is None or not isinstance(answer, Ok) or not isinstance(answer.value, Ok):
        raise Err(Problem_Network("There was no answer"))
    with answer.value.value as response:
        if response.status() != 200:
            raise Err(Problem_Service(f"It answered with {response.status()}"))
        with response.consume() as body, body.stream() as stream:
            return read(stream)


class Api(exports.Api):
    def convert(self, amount: str, from_: str, to: str) -> Conversion:
        if not re.fullmatch(r"\d{1,12}(\.\d{1,10})?", amount, re.ASCII):
            raise Err(Problem_Argument("An amount is a decimal number such as 12.50"))
        if not all(re.fullmatch("[A-Z]{3}", currency) for currency in (from_, to)):
            raise Err(Problem_Argument("A currency is three capital letters such as EUR"))
        try:
            said = json.loads(get(f"/latest?from={from_}&to={to}"), parse_float=Decimal, parse_int=Decimal)
            rate, date = said["rates"][to], said["date"]
        except (ValueError, LookupError, TypeError):
            raise Err(Problem_Service("It answered with no rate"))
        if not isinstance(rate, Decimal) or not 0 < rate < 10**9 or not isinstance(date, str):
            raise Err(Problem_Service("It answered with no rate"))
        converted = (Decimal(amount) * rate).quantize(Decimal("0.01"), ROUND_HALF_EVEN)
        return Conversion(str(converted), str(rate), date)
