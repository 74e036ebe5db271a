"""Typed bases, caches and budgets."""

import multiprocessing
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqnets import groups, reps
from eqnets.reps import cache as caches
from eqnets.reps.basis import DenseBasis, LabelBasis, SparseBasis
from eqnets.reps.factored import DirectSumBasis, FactoredBasis, KroneckerBasis


def endo(G):
    V = reps.vector(G)
    return V >> V


def sum_rep():
    V = reps.vector(groups.SO(3))
    return (2 * V + reps.scalar(groups.SO(3))) >> (V + V * V)


def product_rep():
    a, b = groups.cyclic(3).factor("a"), groups.SO(3)
    return reps.vector(a) * reps.vector(b) * reps.vector(a) * reps.vector(b)


KINDS = {
    LabelBasis: lambda: endo(groups.cyclic(6)),
    DenseBasis: lambda: reps.T(groups.dihedral(5), 6),
    SparseBasis: lambda: reps.T(groups.heisenberg(), 2, 2),
    FactoredBasis: lambda: reps.T(groups.SO(3), 7),
    DirectSumBasis: sum_rep,
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_typed_basis_acts_as_its_dense_matrix(kind):
    basis = reps.equivariant_basis(KINDS[kind]())
    assert isinstance(basis, kind)
    q = basis.dense()
    rng = np.random.default_rng(0)
    v, c = rng.standard_normal((2, 3, basis.size)), rng.standard_normal((4, basis.rank))
    np.testing.assert_allclose(q.conj().T @ q, np.eye(basis.rank), atol=1e-10)
    np.testing.assert_allclose(basis.coefficients(v), v @ q.conj(), atol=1e-12)
    np.testing.assert_allclose(basis.expand(c), c @ q.T, atol=1e-12)
    np.testing.assert_allclose(basis.project(v[0, 0]), q @ (q.conj().T @ v[0, 0]),
                               atol=1e-12)  # fmt: skip
    once = basis.project(v)
    np.testing.assert_allclose(basis.project(once), once, atol=1e-12)
    with pytest.raises(ValueError, match="entries"):
        basis.project(np.ones(basis.size + 1))


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_typed_basis_under_jax(kind):
    basis = reps.equivariant_basis(KINDS[kind]())
    q = basis.dense()
    c = jax.random.normal(jax.random.key(0), (5, basis.rank))
    out = jax.jit(basis.expand)(c)
    assert isinstance(out, jax.Array)
    np.testing.assert_allclose(out, c @ q.T, atol=2e-5)
    np.testing.assert_allclose(jax.vmap(basis.expand)(c), out, atol=1e-6)
    grad = jax.grad(lambda c: (basis.expand(c) ** 2).sum())(c)
    np.testing.assert_allclose(grad, 2 * c, atol=1e-4)  # columns are orthonormal
    v = jnp.ones((2, basis.size))
    np.testing.assert_allclose(jax.jit(basis.project)(v), v @ q @ q.T, atol=2e-5)


def test_kronecker_basis_of_two_groups():
    a, b = groups.cyclic(3).factor("a"), groups.SO(3)
    V, W = reps.vector(a), reps.vector(b)
    basis = reps.equivariant_basis(V * V * W * W)
    assert isinstance(basis, KroneckerBasis)
    assert basis.rank == 3
    c = np.random.default_rng(0).standard_normal((2, 3))
    np.testing.assert_allclose(basis.expand(c), c @ basis.dense().T, atol=1e-12)
    mixed = reps.equivariant_basis(product_rep())
    q = mixed.dense()
    rho = product_rep().rho({a: a.discrete[0], b: b.sample(jax.random.key(0))})
    np.testing.assert_allclose(rho @ q, q, atol=1e-12)


def test_complex_bases_are_complex():
    for rep in (endo(groups.SU(2)), reps.scalar(groups.U(2)), endo(groups.pauli(3))):
        assert reps.equivariant_basis(rep).dense().dtype == np.complex128


def test_memory_cache_returns_the_same_basis():
    reps.clear_cache()
    rep = reps.T(groups.SO(3), 5)
    first = reps.equivariant_basis(rep)
    assert reps.equivariant_basis(reps.T(groups.SO(3), 5)) is first
    reps.clear_cache()
    assert reps.equivariant_basis(rep) is not first


@pytest.mark.parametrize("kind", [LabelBasis, DenseBasis, SparseBasis, FactoredBasis])
def test_disk_cache_round_trip(kind, tmp_path, monkeypatch):
    rep = KINDS[kind]()
    reps.clear_cache()
    first = reps.equivariant_basis(rep, cache=tmp_path / "deep")
    assert len(list((tmp_path / "deep").glob("*.npz"))) == 1
    reps.clear_cache()
    monkeypatch.setenv("EQNETS_CACHE", str(tmp_path / "deep"))
    monkeypatch.setattr("eqnets.reps.solve._solve", None)  # no second solve
    again = reps.equivariant_basis(rep)
    assert type(again) is kind
    assert again.method == first.method
    np.testing.assert_array_equal(again.dense(), first.dense())
    reps.clear_cache()


@pytest.mark.parametrize("damage", [b"", b"not a zip", "cut", "other"])
def test_corrupt_cache_entries_are_ignored(damage, tmp_path):
    rep = reps.T(groups.SO(3), 4)
    reps.clear_cache()
    expected = reps.equivariant_basis(rep, cache=tmp_path).dense()
    (path,) = tmp_path.glob("*.npz")
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    elif damage == "other":  # a sound file of another group under this name
        other = tmp_path / "other"
        reps.equivariant_basis(reps.T(groups.Sp(1), 4), cache=other)
        path.write_bytes(next(other.glob("*.npz")).read_bytes())
    else:
        path.write_bytes(damage)
    reps.clear_cache()
    found = reps.equivariant_basis(rep, cache=tmp_path)
    np.testing.assert_allclose(
        found.dense() @ found.dense().T, expected @ expected.T, atol=1e-12
    )


def _writer(folder):
    for k in (2, 3, 4):
        reps.clear_cache()
        reps.equivariant_basis(reps.T(groups.cyclic(4), k), cache=folder)


def test_concurrent_writers(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_writer, args=(str(tmp_path),)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [w.exitcode for w in workers] == [0, 0, 0]
    assert len(list(tmp_path.glob("*.npz"))) == 3
    assert not list(tmp_path.glob("*.partial"))
    for path in tmp_path.glob("*.npz"):
        assert caches.load(tmp_path, path.stem) is not None


def test_unwritable_cache_is_no_failure(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    reps.clear_cache()
    rank = reps.equivariant_basis(reps.T(groups.SO(3), 2), cache=blocked / "sub").rank
    assert rank == 1


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: reps.T(groups.cyclic(10), 12), "smaller tensor power"),
        (lambda: reps.T(groups.SO(3), 40), "smaller tensor power"),
        (lambda: reps.T(groups.SO(3), 20), "max_bytes"),
        (lambda: reps.T(groups.heisenberg(), 9, 9), "max_bytes"),
    ],
)
def test_over_budget_is_refused_with_the_mend(make, says):
    with pytest.raises(reps.BasisError, match=says):
        reps.equivariant_basis(make())


def test_dense_may_refuse_where_the_typed_basis_does_not():
    G = groups.trivial(1000)
    basis = reps.equivariant_basis(endo(G))
    assert basis.rank == 1_000_000
    v = np.random.default_rng(0).standard_normal(basis.size)
    np.testing.assert_array_equal(basis.project(v), v)
    with pytest.raises(reps.BasisError, match="project"):
        basis.dense()


def test_wrong_types_are_named():
    with pytest.raises(TypeError, match="rep"):
        reps.equivariant_basis(groups.SO(3))
    with pytest.raises(TypeError, match="cache"):
        reps.equivariant_basis(reps.scalar(groups.SO(3)), cache=3)


def test_a_false_basis_is_not_certified(monkeypatch):
    """Both halves of the certificate: not invariant, and not complete."""
    from eqnets.reps import solve

    rep = reps.T(groups.SO(3), 4)
    right = reps.equivariant_basis(rep).dense()
    wrong = np.eye(81)[:, :3]
    for q, says in [(wrong, "not invariant"), (right[:, :2], "incomplete|rank")]:
        reps.clear_cache()
        monkeypatch.setattr(
            solve, "_solve", lambda problem, max_bytes, q=q: DenseBasis(q)
        )
        with pytest.raises(reps.BasisError, match=says):
            reps.equivariant_basis(rep)
    reps.clear_cache()


def test_peak_memory_is_a_small_multiple_of_the_basis():
    """At most three times the larger of the typed basis and the normal matrix."""
    reps.clear_cache()
    rep = reps.T(groups.symmetric(10), 6)
    tracemalloc.start()
    basis = reps.equivariant_basis(rep)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    normal = basis.size * 5 * 12  # two permutations, their inverses, the diagonal
    assert peak <= 3 * max(normal, basis.labels.nbytes)


def test_importing_compiles_nothing():
    import subprocess
    import sys

    code = (
        "import jax, logging; jax.config.update('jax_log_compiles', True)\n"
        "import eqnets.reps, eqnets.groups, sys\n"
        "assert 'scipy.sparse' in sys.modules and 'flax' not in sys.modules"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "Compiling" not in out.stderr
