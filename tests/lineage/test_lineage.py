"""``airlock lineage``: from a sample to what serves, and back from a model to the files it was made from."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from airlock.errors import IntegrityError, UserError
from airlock.lineage.edges import Edge, Node, node_of, store_edges
from airlock.lineage.graph import Graph
from airlock.lineage.lookup import Lookup
from airlock.lineage.rebuilding import rebuild
from airlock.lineage.report import report
from airlock.references import Artifact
from airlock.settings import settings
from airlock.stores.datasets import open_datasets
from airlock.stores.layers import open_layers
from tests.governed import Governed
from tests.lineage.conftest import CLASSES, Made, step

pytestmark = pytest.mark.integration
Command = Callable[..., Any]


def samples_of(made: Made) -> dict[str, str]:
    table = pq.read_table(io.BytesIO(open_layers(settings()).read(made.divided["split"]["digest"])))
    return dict(zip(table["sample_id"].to_pylist(), table["split"].to_pylist(), strict=True))


def texts(branches: list[Any]) -> list[str]:
    return [text for branch in branches for text in (branch.text, *texts(branch.below))]


class TestASample:
    def test_what_came_of_it_and_who_decided(self, made: Made, airlock: Command) -> None:
        sample, place = next(iter(samples_of(made).items()))
        said = airlock("lineage", sample).output
        dataset, manifest = made.version["dataset"], made.manifest["manifest"]["digest"]
        assert said.startswith(f"sample {sample}\n")
        assert "digits#" in said, "where it came from"
        assert f"dataset digits@{dataset['version']} {dataset['digest']}" in said
        assert f"{place} in split {made.divided['split']['digest']}" in said
        assert "labelled '" in said
        assert manifest in said
        assert "decision: dora chose 'Approve' at the data gate (ledger record" in said
        assert "deployment: to local (ledger record" in said
        assert made.tensors["tensors"]["digest"] in said
        assert "1 dataset," in said.splitlines()[-1]
        assert "1 deployment" in said.splitlines()[-1]

    def test_the_beginning_of_its_id_will_do(self, made: Made, airlock: Command) -> None:
        samples = samples_of(made)
        name = next(name for name in samples if sum(other.startswith(name[:12]) for other in samples) == 1)
        assert airlock("lineage", name[:12]).output.startswith(f"sample {name}\n")

    def test_a_forgotten_one_leaves_its_tombstone(self, made: Made) -> None:
        sample = next(iter(samples_of(made)))
        open_datasets(settings().datasets).forget("digits", [sample], "asked by the person shown", "dora")
        command = [sys.executable, "-c", "from airlock.cli import main; main()", "lineage", sample]
        told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert told.returncode == 0, told.stderr
        said = told.stdout
        assert "deleted for privacy from digits by dora: asked by the person shown" in said
        assert made.manifest["manifest"]["digest"] not in said


class TestForgetting:
    def test_copies_that_steps_wrote_go_too_and_models_are_named(self, made: Made, airlock: Command) -> None:
        sample, other = list(samples_of(made))[:2]
        store, raw = open_layers(settings()), made.ingested["samples"]["digest"]
        tensors = msgspec.convert(made.tensors["tensors"], Artifact)
        held = [raw, made.cleaned["samples"]["digest"], tensors.digest]
        held += [entry["digest"] for entry in store.listing(tensors).values()]
        assert other in pq.read_table(io.BytesIO(store.read(raw)))["sample_id"].to_pylist()
        run = {"execution": "digits_model/run_2/train/1", "step": "train", "created": 1.0}
        learned = Node(id="run:17", kind="run", name="digits")
        edges = [
            Edge(direction="input", field="tensors", node=node_of(tensors), **run),
            Edge(direction="output", field="run", node=learned, **run),
        ]
        store_edges(settings(), edges)
        said = airlock("data", "forget", "digits", sample, "--reason", "request 17", "--yes")
        assert said.exception is None, said.output
        assert said.output.count("removed a copy") == 3
        assert "learned from it, and is still there: run digits run:17" in said.output
        for digest in held:
            with pytest.raises(IntegrityError, match="not in the store"):
                store.read(digest)
        again = airlock("data", "forget", "digits", sample, "--reason", "request 17", "--yes")
        assert "removed a copy" not in again.output

    def test_ingesting_again_makes_the_copies_without_bringing_it_back(self, made: Made, airlock: Command) -> None:
        sample = next(iter(samples_of(made)))
        airlock("data", "forget", "digits", sample, "--reason", "request 17", "--yes")
        fresh = step("ingest", source={"kind": "sklearn", "location": "digits"}, limit=200)
        cleaners = [{"name": "decode_image", "mode": "L", "min_side": 8, "max_side": 8}]
        cleaned = step("clean", samples=fresh["samples"], classes=CLASSES, cleaners=cleaners)
        version = step("version", samples=cleaned["samples"], dataset="digits")
        assert version["dataset"]["rows"] == made.version["dataset"]["rows"] - 1


class TestBothWays:
    def test_a_manifest_goes_back_to_the_source_and_on_to_the_tensors(self, made: Made) -> None:
        found = report(settings(), made.manifest["manifest"]["digest"]).roots[0]
        up, down = texts(found.up), texts(found.down)
        assert any(made.ingested["samples"]["digest"] in text for text in up)
        assert any(text.startswith("ingest · digits_data/run_1/ingest") for text in up)
        assert any(text.startswith("transform · digits_data/run_2") for text in down)
        assert not any(made.tensors["tensors"]["digest"] in text for text in up)

    @pytest.mark.parametrize("what", ["name", "digest", "bare digest", "prefix"])
    def test_a_dataset_version_by_any_of_its_names(self, made: Made, what: str) -> None:
        version = made.version["dataset"]
        digest = version["digest"]
        name = f"{version['name']}@{version['version']}"
        given = {"name": name, "digest": digest, "bare digest": digest[7:], "prefix": digest[:20]}[what]
        assert report(settings(), given).roots[0].text == f"dataset {name} {digest}"

    def test_a_label_set(self, made: Made) -> None:
        found = report(settings(), made.version["labels"]["digest"]).roots[0]
        assert found.text.startswith("labels ")
        assert any(made.manifest["manifest"]["digest"] in text for text in texts(found.down))

    def test_a_run_gives_all_that_it_made(self, made: Made) -> None:
        roots = report(settings(), "run_2").roots
        assert [root.text.rpartition(" ")[2] for root in roots] == [made.tensors["tensors"]["digest"]]

    def test_what_is_handed_through_is_not_made_again(self, made: Made) -> None:
        up = report(settings(), made.version["dataset"]["digest"]).roots[0].up
        assert [branch.text.partition(" ")[0] for branch in up] == ["version"]

    def test_doing_the_same_again_adds_no_line(self, made: Made) -> None:
        before = texts(report(settings(), made.manifest["manifest"]["digest"]).roots[0].up)
        step("clean", run="run_9", samples=made.ingested["samples"], classes=[str(number) for number in range(10)],
             cleaners=[{"name": "decode_image", "mode": "L", "min_side": 8, "max_side": 8}])  # fmt: skip
        assert texts(report(settings(), made.manifest["manifest"]["digest"]).roots[0].up) == before


class TestForms:
    def test_json_and_dot(self, made: Made, airlock: Command) -> None:
        digest = made.manifest["manifest"]["digest"]
        read = json.loads(airlock("lineage", digest, "--json").output)
        assert read["roots"][0]["text"].endswith(digest)
        assert {edge["step"] for edge in read["edges"]} >= {"ingest", "clean", "version", "split", "data_manifest"}
        graph = airlock("lineage", digest, "--dot").output
        assert graph.startswith("digraph lineage {")
        assert f'"{digest}" [label="manifest ' in graph

    def test_what_nobody_knows_is_an_error(self, made: Made, airlock: Command) -> None:
        for unknown in ("0" * 64, "nothing@7", "sha256:" + "0" * 64):
            caught = airlock("lineage", unknown).exception
            assert isinstance(caught, UserError)
            assert "Nothing is known" in caught.message

    @pytest.mark.parametrize("text", ["", "ab", "sha256:"])
    def test_what_is_too_little_is_an_error(self, made: Made, airlock: Command, text: str) -> None:
        assert isinstance(airlock("lineage", text).exception, UserError)

    def test_wildcards_are_taken_literally(self, made: Made) -> None:
        with pytest.raises(UserError, match="Nothing is known"):
            report(settings(), "%%%%%%%%")


class TestTheIndex:
    def test_it_can_be_made_again(self, made: Made, governed: Governed, superuser: Any, airlock: Command) -> None:
        digest = made.manifest["manifest"]["digest"]
        before = report(settings(), digest)
        with superuser.transaction() as cursor:
            cursor.execute("DELETE FROM airlock.lineage_edge")
        with pytest.raises(UserError, match="Nothing is known"):
            report(settings(), digest)
        assert rebuild(settings(), open_layers(settings())) == 6
        assert {edge.node for edge in report(settings(), digest).edges} == {edge.node for edge in before.edges}

    def test_the_application_cannot_change_it(self, made: Made, governed: Governed) -> None:
        import psycopg2

        for statement in ("DELETE FROM airlock.lineage_edge", "UPDATE airlock.lineage_edge SET step = 'x'"):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege), governed.database.transaction() as cursor:
                cursor.execute(statement)

    def test_a_ring_ends(self) -> None:
        node = Node(id="sha256:a", kind="artifact", name="x")
        graph = Graph([], {})
        assert graph.tree(node, "down").below == []
        assert graph.reachable(node, "up") == []

    def test_a_long_chain_is_found_in_one_query(self, made: Made, governed: Governed) -> None:
        from airlock.lineage.edges import Edge, store_edges

        chain = [Node(id=f"sha256:chain{number:04}", kind="artifact", name="x") for number in range(200)]
        edges = [
            Edge(execution=f"d/r/{at}/1", step="nothing", direction=way, node=chain[at + far], field="f", created=at)
            for at in range(199)
            for way, far in (("input", 0), ("output", 1))
        ]
        store_edges(settings(), edges)
        found = Lookup(governed.database).graph([chain[0]], "down").reachable(chain[0], "down")
        assert {edge.node.id for edge in found} == {node.id for node in chain}
