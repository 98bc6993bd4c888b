"""The checks of destinations that address a person of the section `people`: those whose `to` names one."""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from deploy.config.config_file import ConfigFile, DocumentPath, Fault, texts_in
from deploy.config.model_faults import fault_at
from deploy.config.sections.destination import kind_of
from deploy.config.sections.people import PeopleList
from deploy.config.sections.subscribers import TENANT_ADDRESS, owners_destination
from shared.did_you_mean import did_you_mean
from shared.jsontext import JsonObject
from shared.templating.template import KNOWN, Template, TemplateFault, UnknownVariable, is_template


def recipient_faults(file: ConfigFile, settings: Mapping[str, BaseModel], people_list: PeopleList) -> Iterator[Fault]:
    """Yield the faults of recipients, and of templates that use a person although there is none.

    `settings` has the destinations without faults. A person can be missing because the list has faults. Then only the
    faults of the list are reported.
    """
    for name, model in settings.items():
        if name == owners_destination(file):  # it mails tenants, who are not in `people`
            continue
        recipient = getattr(model, "recipient", None)
        if recipient is None:
            yield from _template_faults(file, name, model)
        elif people_list.faults or people_list.is_at_url:
            continue
        elif not people_list.entries:
            yield from _empty_list_faults(file, name, recipient)
        elif recipient.get("person") is not None:  # otherwise an expression finds the person in each event
            yield from _named_person_faults(file, name, recipient, people_list)


def _empty_list_faults(file: ConfigFile, name: str, recipient: JsonObject) -> Iterator[Fault]:
    if recipient.get("allowed"):  # an event can select an address that `allow_recipients` covers
        return
    advice = "Add `people` to the configuration"
    if recipient.get("path") == TENANT_ADDRESS:
        advice += ", or name this destination at `subscribers.tell.owners` if it is to mail tenants"
    yield fault_at(file, _to_path(file, name), f"names a person, but `people` lists nobody. {advice}")


def _named_person_faults(
    file: ConfigFile, name: str, recipient: JsonObject, people_list: PeopleList
) -> Iterator[Fault]:
    person_name = str(recipient["person"])
    address = str(recipient["address"])
    people_by_name = {listed.person.name: listed.person for listed in people_list.people}
    if person_name not in people_by_name:
        hint = did_you_mean(person_name, people_by_name)
        rule = f"there is nobody in `people` with the name {person_name!r}{hint}"
        yield fault_at(file, _to_path(file, name), rule)
    elif not people_by_name[person_name].address(address):
        rule = f"{person_name!r} in `people` has no `{address}`, which this kind of destination needs"
        yield fault_at(file, _to_path(file, name), rule)


def _to_path(file: ConfigFile, name: str) -> DocumentPath:
    return ("destinations", name, kind_of(file, name), "to")


def _template_faults(file: ConfigFile, name: str, model: BaseModel) -> Iterator[Fault]:
    for key, value in model.model_dump(mode="json", by_alias=True).items():
        if any(map(_reads_person, texts_in(value))):
            rule = "a template has `person` only where `to` names one: `actor`, an expression or {person: NAME}"
            yield fault_at(file, ("destinations", name, kind_of(file, name), key), rule)


def _reads_person(text: str) -> bool:
    """Return whether the text is a template that uses `person`: it does not compile without that variable."""
    if "person" not in text or not is_template(text):  # compiling takes far longer than this search
        return False
    try:
        Template("text", text, known=KNOWN - {"person"})
    except UnknownVariable as fault:
        return fault.name == "person"
    except TemplateFault:  # the check of the destination's settings reports it
        return False
    return False
