"""Apple's property lists, in XML and in binary. Times become RFC 3339 in UTC, data becomes base64."""

from shared.formats.media_type import MediaType
from shared.formats.plist_binary import MAGIC, read_binary_plist
from shared.formats.plist_xml import read_xml_plist
from shared.formats.xml_body import decode_xml
from shared.jsontext import Json
from shared.limits import Limits


def parse(body: bytes, media: MediaType, limits: Limits) -> Json:
    if body.startswith(MAGIC):
        return read_binary_plist(body, limits)
    return read_xml_plist(decode_xml(body, media), limits)
