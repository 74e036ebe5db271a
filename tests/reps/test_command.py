"""`eqnets basis`: parsing, and the picture of the weight sharing."""

import numpy as np
import pytest

from eqnets import groups, reps
from eqnets.commands.expressions import describe, parse_group, parse_rep, solve
from eqnets.report.sharing import sharing_figure, sharing_labels

G = groups.SL(2)
V = reps.vector(G)


@pytest.mark.parametrize(
    ("text", "rep"),
    [
        ("V", V),
        ("V'", V.dual),
        ("V*", V.dual),
        ("V* * V", V.dual * V),
        ("V*V", V * V),
        ("T2 >> T2", reps.T(G, 2) >> reps.T(G, 2)),
        ("T(2,1)", reps.T(G, 2, 1)),
        ("2V + 1", 2 * V + reps.scalar(G)),
        ("3*(V + 1) >> V", (3 * (V + reps.scalar(G))) >> V),
        ("V**3", V**3),
        ("V >> V >> V", V >> (V >> V)),
        ("2 + V", 2 * reps.scalar(G) + V),
        ("(V + 1)'", (V + reps.scalar(G)).dual),
    ],
)
def test_representation_expressions(text, rep):
    assert parse_rep(text, G) == rep


def test_group_names(tmp_path):
    for text, group in [
        ("SO(3)", groups.SO(3)),
        ("SO+(1,3)", groups.SOpq(1, 3)),
        ("Z(5)", groups.cyclic(5)),
        ("p4m(3)", groups.p4m(3)),
        ("p4_images(3)", groups.p4_images(3)),
        ("cube_faces", groups.cube_faces()),
        ("rubiks_cube()", groups.rubiks_cube()),
        ("translations(3, 4)", groups.translations(3, 4)),
    ]:
        assert parse_group(text) == group
    path = tmp_path / "mine.npz"
    np.savez(path, discrete=groups.dihedral(4).discrete)
    assert parse_group(str(path)) == groups.dihedral(4)
    np.savez(path, other=np.ones(3))
    with pytest.raises(ValueError, match="neither"):
        parse_group(str(path))


@pytest.mark.parametrize(
    "text", ["", "V +", "W", "__import__('os')", "V >> ", "(V", "T(1", "V V", "2 **"]
)
def test_bad_expressions_are_refused(text):
    with pytest.raises(ValueError, match="in "):
        parse_rep(text, G)


@pytest.mark.parametrize("text", ["SO", "XX(3)", "SO(3).sample", "SO(3, 4)", "SO(-1)"])
def test_bad_groups_are_refused(text):
    with pytest.raises(ValueError):
        parse_group(text)


def test_description_and_figure(tmp_path):
    solved = solve("dihedral_images(5)", "V >> V")
    text = describe(solved)
    assert f"rank      {solved.basis.rank}" in text
    assert "orbits" in text
    figure = sharing_figure(solved.basis, (25, 25))
    figure.savefig(tmp_path / "d4.png")
    assert (tmp_path / "d4.png").stat().st_size > 1000


def test_sharing_of_the_tutorials_circulant():
    basis = solve("Z(4)", "V >> V").basis
    labels = sharing_labels(basis, (4, 4))
    for i in range(4):
        for j in range(4):
            assert labels[i, j] == labels[(i + 1) % 4, (j + 1) % 4]
    assert len(np.unique(labels)) == 4
    # Signed and dense bases: zeros are -1, equal entries share a label.
    identity = sharing_labels(solve("SO(3)", "V >> V").basis, (3, 3))
    np.testing.assert_array_equal(identity, np.eye(3) - 1)
    with pytest.raises(ValueError, match="shape"):
        sharing_labels(basis, (4, 5))


def test_the_command_prints_and_draws(tmp_path, capsys):
    from eqnets.cli import main

    path = tmp_path / "sharing.png"
    assert main(["basis", "dihedral_images(3)", "V >> V", "--out", str(path)]) == 0
    printed = capsys.readouterr().out
    solved = solve("dihedral_images(3)", "V >> V")
    assert f"rank      {solved.basis.rank}\n" in printed
    assert "method    orbits" in printed
    assert path.read_bytes().startswith(b"\x89PNG")
    assert "\na b c b d e c e f\n" in printed


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["SO3", "V"], 2, "SO(3)"),
        (["SO(3)", "Q"], 2, "'Q'"),
        (["SO(3)", "T2", "--out", "a.png"], 2, "maps"),
        (["SO(3)", "V >> V", "--out", "a.doc"], 2, "doc"),
        (["missing.npz", "V"], 1, "missing.npz"),
        (["SO(9)", "T(16)"], 1, "max_bytes"),
    ],
)
def test_bad_input_is_one_line(arguments, code, word, capsys, tmp_path, monkeypatch):
    from eqnets.cli import main

    monkeypatch.chdir(tmp_path)
    assert main(["basis", *arguments]) == code
    said = capsys.readouterr()
    assert word in said.err
    *before, _ = said.err.splitlines()
    assert all(line.endswith("starting") for line in before)
    assert not list(tmp_path.iterdir())
