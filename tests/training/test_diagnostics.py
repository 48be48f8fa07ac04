"""Alarms: they ring once for a problem that lasts, and stay silent while anything improves."""

import re

from i2i.training.diagnostics import Diagnostics
from tests.conftest import smallest_config

HEALTHY = {"D_real": 0.5, "D_fake": 0.4, "D_real_accuracy": 0.8, "D_fake_accuracy": 0.9, "G_GAN": 2.0}
WON = {"D_real": 0.01, "D_fake": 0.005, "D_real_accuracy": 1.0, "D_fake_accuracy": 0.999, "G_GAN": 8.0}
VARIED = {"diversity": 0.9, "near_duplicates": 0.3, "real_near_duplicates": 0.1}
ALIKE = {"diversity": 0.1, "near_duplicates": 0.1, "real_near_duplicates": 0.1}


def watch(draws_noise=True):
    return Diagnostics(smallest_config("gan", ".", "alarms.steps=2000", "alarms.alike_steps=1000"), draws_noise)


def rows(one, terms, start, stop, every=100):
    return [text for steps in range(start, stop + 1, every) for text in one.check_losses(steps, terms)]


def test_a_discriminator_that_has_won_is_named_once_with_the_setting():
    one = watch()
    assert rows(one, WON, 100, 2000) == []
    (text,) = rows(one, WON, 2100, 6000)
    assert text.startswith("discriminator D ")
    assert re.search(r"optimizer\.lr_discriminator\b.* 0\.0002\b.* 5e-05\b", text)
    assert rows(one, HEALTHY, 6100, 6100) == []
    assert len(rows(one, WON, 6200, 9000)) == 1  # after a recovery, again


def test_a_break_in_between_starts_the_count_anew():
    one = watch()
    assert rows(one, WON, 100, 2000) + rows(one, HEALTHY, 2050, 2050) + rows(one, WON, 2100, 4000) == []


def test_a_nearly_perfect_discriminator_is_healthy_while_the_generator_learns():
    """Healthy conditional GANs live near accuracy 1: L1 or cycle still falls."""
    one = watch()
    falling = [{**WON, "G_L1": 0.3 * 0.99 ** (steps / 100)} for steps in range(100, 9001, 100)]
    assert [text for steps, terms in enumerate(falling, 1) for text in one.check_losses(100 * steps, terms)] == []
    still = {**WON, "G_L1": falling[-1]["G_L1"]}
    assert len(rows(one, still, 9100, 12000)) == 1


def test_accuracy_alone_or_loss_alone_rings_nothing():
    assert rows(watch(), {**WON, "D_real": 0.1}, 100, 9000) == []
    assert rows(watch(), {**WON, "D_real_accuracy": 0.9}, 100, 9000) == []


def test_a_term_that_a_row_lacks_is_remembered():
    """With n_critic, not every row has the generator's terms."""
    one = watch()
    assert one.check_losses(100, WON) == []
    assert one.check_losses(200, {**WON, "G_L1": 0.3}) == []
    assert [text for steps in range(300, 2000, 100) for text in one.check_losses(steps, WON)] == []
    assert one.check_losses(2050, {**WON, "G_L1": 0.2}) == []


def test_each_discriminator_is_watched_by_itself():
    two = {f"D_A{name[1:]}": value for name, value in HEALTHY.items() if name.startswith("D")}
    two |= {f"D_B{name[1:]}": value for name, value in WON.items() if name.startswith("D")}
    (text,) = rows(watch(draws_noise=False), two, 100, 2200)
    assert text.startswith("discriminator D_B has won")


def test_samples_that_are_alike_ring_after_a_while():
    one = watch()
    assert one.check_samples(500, ALIKE) == []
    assert one.check_samples(1400, ALIKE) == []
    (text,) = one.check_samples(1500, ALIKE)
    assert "mode collapse" in text
    assert one.check_samples(5000, ALIKE) == []
    assert one.check_samples(5500, VARIED) == []
    assert one.alike == {}


def test_near_duplicates_count_beyond_those_of_the_data():
    tight = {"diversity": 1.0, "near_duplicates": 1.0, "real_near_duplicates": 1.0}  # healthy on the ring
    one = watch()
    assert [one.check_samples(steps, tight) for steps in (0, 3000, 6000)] == [[], [], []]
    copies = {**tight, "real_near_duplicates": 0.2}
    assert [len(one.check_samples(steps, copies)) for steps in (7000, 9000)] == [0, 1]


def test_only_what_draws_noise_can_collapse():
    one = watch(draws_noise=False)
    assert [one.check_samples(steps, ALIKE) for steps in (0, 9000)] == [[], []]


def test_inverted_colours_are_named_by_direction_once_they_last():
    one = watch(draws_noise=False)
    right, wrong = {"brightness.A2B": 0.6, "brightness.B2A": 0.4}, {"brightness.A2B": 0.6, "brightness.B2A": -0.4}
    assert [one.check_samples(steps, wrong) for steps in (250, 500)] == [[], []]
    assert one.check_samples(600, right) == []
    assert one.check_samples(750, wrong) == []
    assert one.check_samples(1250, {**wrong, "brightness.B2A": -0.19}) == []  # uncorrelated is not inverted
    assert one.check_samples(1500, wrong) == []
    (text,) = one.check_samples(2000, wrong)
    assert "B2A" in text
    assert "A2B" not in text
    assert "train.seed" in text
    assert one.check_samples(4000, wrong) == []


def test_exchanged_hues_are_named_beside_a_right_brightness():
    one = watch(draws_noise=False)
    wrong = {"brightness.A2B": 0.9, "hue.A2B": -0.6, "hue.B2A": 0.1}
    assert one.check_samples(0, wrong) == []
    (text,) = one.check_samples(500, wrong)
    assert "A2B" in text
    assert "generator.recolour" in text
    assert one.check_samples(1000, wrong) == []


def test_the_watch_goes_on_where_it_stopped():
    one, other = watch(), watch()
    rows(one, WON, 100, 1500)
    one.check_samples(0, {**ALIKE, "brightness.A2B": -0.9})
    other.load_state_dict(one.state_dict())
    assert len(rows(other, WON, 1600, 2100)) == 1
    assert len(other.check_samples(1000, {**ALIKE, "brightness.A2B": -0.9})) == 2
