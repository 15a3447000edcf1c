from itertools import islice

from handrail.core.seeds import (
    DEVELOPMENT_ENV_SEEDS,
    EVALUATION_ENV_SEEDS,
    training_env_seed,
    training_env_seeds,
)

RESERVED = set(EVALUATION_ENV_SEEDS) | set(DEVELOPMENT_ENV_SEEDS)


def test_evaluation_is_a_hundred_seeds_from_1000() -> None:
    assert list(EVALUATION_ENV_SEEDS) == list(range(1000, 1100))
    assert list(DEVELOPMENT_ENV_SEEDS) == list(range(100))


def test_training_resets_never_meet_the_reserved_ranges() -> None:
    for run_seed in range(5):
        assert not RESERVED & set(islice(training_env_seeds(run_seed), 5000))
        assert not RESERVED & {training_env_seed(run_seed, episode) for episode in range(500)}


def test_training_resets_are_a_function_of_the_run_seed() -> None:
    first, again, other = (list(islice(training_env_seeds(seed), 50)) for seed in (3, 3, 4))
    assert first == again
    assert not set(first) & set(other)


def test_one_episode_can_be_asked_for_without_the_ones_before() -> None:
    assert training_env_seed(2, 41) == training_env_seed(2, 41)
    assert len({training_env_seed(2, episode) for episode in range(1000)}) == 1000
