from shared.limits import DEFAULT, Limits


def test_the_default_limits_are_those_that_are_promised() -> None:
    promised = Limits(
        max_body_bytes=1_048_576,
        max_decoded_bytes=5_242_880,
        max_depth=64,
        max_nodes=250_000,
        max_keys=10_000,
        max_number_digits=4_300,
        max_fields=1_000,
        max_parts=100,
    )
    assert promised == DEFAULT
