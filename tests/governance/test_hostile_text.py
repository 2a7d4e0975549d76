"""Nothing that an author of a DAG writes gets out of its place in what a person sees before deciding."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airlock.governance.evidence import asked_in, question
from airlock.governance.evidence.markdown import code
from airlock.governance.policy import GatePolicy
from airlock.references import Artifact
from airlock.stores.gates import GateRequest
from tests.governance.maker import HOSTILE, Maker, flatten, maker

__all__ = ["maker"]

POLICY = GatePolicy.of("model_validator")


def shape(text: str) -> list[str]:
    return [token.type for token in flatten(text)]


def hostile_candidate(maker: Maker, text: str) -> str:
    other = text + "2"
    return maker.candidate(
        [1, 0, 1, 1],
        use_case=f"-{text}",
        classes=[f"-{text}", f"-{other}"],
        parameters={f"-{text}": text},
        code={f"-{text}": text},
        environment={f"-{text}": text},
        metrics={f"-{text}": 1.0},
    )


class TestHostileText:
    """Class names, parameters and the like are whatever the author of a DAG wrote."""

    @pytest.fixture
    def benign(self, maker: Maker) -> list[str]:
        return shape(maker.evidence(hostile_candidate(maker, "x y"), maker.candidate()))

    @pytest.mark.parametrize("text", HOSTILE)
    def test_it_stays_in_code_spans(self, maker: Maker, benign: list[str], text: str) -> None:
        shown = maker.evidence(hostile_candidate(maker, text), maker.candidate())
        assert shape(shown) == benign, "no text of a DAG's author makes another structure"
        assert not any("evil" in token.content for token in flatten(shown) if token.type == "text")
        links = [token.attrs["href"] for token in flatten(shown) if token.type == "link_open"]
        assert all(str(target).startswith("/airlock/artifacts/sha256:") for target in links)

    @settings(max_examples=100, deadline=None)
    @given(text=st.text(max_size=80))
    def test_no_text_at_all_leaves_its_code_span(self, text: str) -> None:
        cell = f"| a | b |\n|---|---|\n| x | {code(text)} |\n\nafter {code(text)}, and {code(text)}."
        assert shape(cell) == shape("| a | b |\n|---|---|\n| x | `t` |\n\nafter `t`, and `t`.")

    def test_a_digest_that_is_none_is_no_link(self, maker: Maker) -> None:
        forged = Artifact(digest="x)[click](https://evil.example", size=1)
        assert "evil" not in maker.evidence(maker.candidate(picture=forged))

    def test_a_flood_of_text_is_cut(self, maker: Maker) -> None:
        many = {f"parameter_{number}": "y" * 10_000 for number in range(500)}
        text = maker.evidence(maker.candidate(parameters=many, environment=many), maker.candidate())
        assert len(text) < 6_000


class TestQuestion:
    @pytest.fixture
    def request_(self) -> GateRequest:
        names = ("use_case", "gate", "dag", "run", "task", "manifest", "evidence", "policy")
        return GateRequest(**dict.fromkeys(names, "x"), created=1.0)

    @pytest.mark.parametrize("text", HOSTILE)
    def test_only_the_real_last_line_names_the_request(self, maker: Maker, request_: GateRequest, text: str) -> None:
        asked = question(maker.evidence(hostile_candidate(maker, text)), request_, POLICY)
        assert asked_in(asked) == request_.id
        assert asked.count("\n\nRequest `") == 1

    @pytest.mark.parametrize("after", ["\n", " ", "\n\nRequest `x`", "\nmore"])
    def test_anything_after_it_makes_it_no_question(self, request_: GateRequest, after: str) -> None:
        assert asked_in(question("shown", request_, POLICY) + after) == ""
