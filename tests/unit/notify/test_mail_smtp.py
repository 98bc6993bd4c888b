import pytest

from functions.notify.destinations.email.letters import Fate, RecipientFate, conclude, unsent_letters
from functions.notify.destinations.email.mail import Address, Mail
from functions.notify.destinations.email.smtp import SERVICE
from functions.notify.destinations.email.smtp_server import SmtpServer, SmtpUrlFault, parse_smtp_url
from shared.delivery import Delivered, Failed, Outcome, RetryLater, Unknown

MAIL = Mail("k", Address("s@x.y"), (Address("a@x.y"), Address("b@x.y")), "Hi", "words", None, bcc=(Address("c@x.y"),))


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example.com", SmtpServer("mail.example.com", 587, "starttls")),
        ("smtp://ada@mail.example.com:2525", SmtpServer("mail.example.com", 2525, "starttls", "ada")),
        ("smtp://ada%40x.y@mail.example.com", SmtpServer("mail.example.com", 587, "starttls", "ada@x.y")),
        ("smtp://ada@x.y@mail.example.com", SmtpServer("mail.example.com", 587, "starttls", "ada@x.y")),
        ("smtps://ada@mail.example.com", SmtpServer("mail.example.com", 465, "tls", "ada")),
        ("smtp://127.0.0.1:25/", SmtpServer("127.0.0.1", 25, "none")),
        ("smtp://[::1]:25", SmtpServer("::1", 25, "none")),
        ("smtp://localhost:25", SmtpServer("localhost", 25, "none")),
        ("smtps://localhost:25", SmtpServer("localhost", 25, "tls")),
    ],
)
def test_a_server_is_encrypted_unless_it_is_on_this_machine(url: str, server: SmtpServer) -> None:
    assert parse_smtp_url(url) == server


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mail.example.com",
        "http://x",
        "smtp://",
        "smtp://x:notaport",
        "smtp://x:99999",
        "smtp://x/y",
        "smtp://x?tls=no",
        "smtp://ada:hunter2@x",
        "smtp://[::1",
    ],
)
def test_a_faulty_url_is_rejected_without_being_repeated(url: str) -> None:
    with pytest.raises(SmtpUrlFault) as caught:
        parse_smtp_url(url)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("recipients", "outcome"),
    [
        (["accepted", "accepted"], Delivered("accepted 0")),
        (
            ["accepted", "rejected", "accepted"],
            Delivered("accepted for 2 of 3 recipients, rejected for the others: rejected 1"),
        ),
        (
            ["rejected", "rejected"],
            Failed("mail_rejected", "the SMTP server rejects the mail: rejected 0", "rejected 0"),
        ),
        (
            ["accepted", "rejected", "later"],
            RetryLater("not yet for 1 of 3 recipients: later 2", answer="later 2"),
        ),
        (
            ["later", "unknown"],
            Unknown("the SMTP server did not say whether it took the mail for 1 of 2 recipients"),
        ),
    ],
)
def test_the_outcome_follows_from_the_fates_of_all_recipients(recipients: list[Fate], outcome: Outcome) -> None:
    fates = [RecipientFate(f"r{n}@x.y", fate, f"{fate} {n}") for n, fate in enumerate(recipients)]
    assert conclude(fates, SERVICE) == outcome


def test_a_letter_goes_to_those_who_do_not_have_it_and_names_everyone() -> None:
    settled = {"a@x.y": RecipientFate("a@x.y", "accepted", "")}

    [letter] = unsent_letters(MAIL, settled)

    assert [address.address for address in letter.recipients] == ["b@x.y", "c@x.y"]
    assert letter.mail == MAIL


def test_each_persons_own_mail_goes_to_those_who_do_not_have_theirs() -> None:
    mail = Mail("k", MAIL.sender, MAIL.to, "Hi", "words", None, separate=True)
    settled = {"a@x.y": RecipientFate("a@x.y", "rejected", "")}

    [letter] = unsent_letters(mail, settled)

    assert [address.address for address in letter.mail.to] == ["b@x.y"]
