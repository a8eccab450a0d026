import collections
import dataclasses

import pytest
import yaml

from components.caption_ingest.rejects import Reason, Reject
from components.caption_ingest.settings import SplitFractions
from pipeline import config_files, initial_config
from pipeline.commented_yaml import Setting, render
from pipeline.data_survey import Survey
from pipeline.initial_config import ACCURATE, FAST
from pipeline.probe import Captions, Speed

TEN = Survey(
    data_dir="/data/it's: #1",
    format="table",
    caption_files=("captions.csv",),
    num_images={"train": 8, "eval": 1, "test": 1},
    num_captions=20,
    is_official=False,
    split_fractions=SplitFractions(0.6, 0.2, 0.2),
    num_unique_captions=16,
    caption_lengths=[3] * 8 + [6] * 8,
    word_counts=collections.Counter(a=8, red=2, dot=1),
    example_files=(),
    num_checked=10,
    rejects=(),
    warnings=(),
)


def of_size(num_train_images: int, **changes) -> Survey:
    """Data with five captions per image."""
    sizes = {"train": num_train_images, "eval": 500, "test": 500}
    lengths = [5] * (5 * num_train_images // 100) + [10] * (5 * num_train_images * 99 // 100)
    unique = {"num_unique_captions": 5 * num_train_images, "caption_lengths": lengths}
    return dataclasses.replace(TEN, num_images=sizes, is_official=True, **(unique | changes))


def value_of(survey: Survey, key: str, has_gpu: bool = False):
    return next((s.value for s in initial_config.choose(survey, "mine", has_gpu) if s.key == key), None)


@pytest.mark.parametrize("survey", [TEN, *map(of_size, (600, 8_000, 100_000))], ids=lambda s: str(s.total_images))
def test_the_file_is_valid_and_says_why(survey, tmp_path):
    settings = initial_config.choose(survey, "mine", has_gpu=False)
    path = tmp_path / "mine.yaml"
    path.write_text(render(settings, ["A header."]))
    config = config_files.load(path)
    assert config == initial_config.load(settings)
    assert (config.name, config.data.dir) == ("mine", survey.data_dir)
    assert path.read_text().startswith("# A header.\n")
    assert max(map(len, path.read_text().splitlines())) <= 120
    for setting in settings:
        value = yaml.safe_load(path.read_text())
        for key in setting.key.split("."):
            value = value[key]
        assert value == setting.value
        assert " ".join(setting.reason.split()) in " ".join(path.read_text().replace("#", "").split())


def test_splits_are_only_chosen_where_the_dataset_defines_none():
    assert value_of(TEN, "data.split_fractions.train") == 0.6
    assert value_of(of_size(600), "data.split_fractions.train") is None
    [reason] = [s.reason for s in initial_config.choose(TEN, "mine", False) if s.key == "data.split_fractions.train"]
    assert reason.endswith("a split of so few images would be empty or too small")


@pytest.mark.parametrize(
    ("num_images", "d_model", "batch_size", "epochs", "warmup_steps"),
    [(20, 128, 16, 40, 28), (600, 128, 64, 40, 188), (8_000, 256, 64, 12, 500), (100_000, None, 64, 12, 500)],
)
def test_the_model_and_the_training_suit_the_size_of_the_data(num_images, d_model, batch_size, epochs, warmup_steps):
    survey = of_size(num_images)
    assert value_of(survey, "trainer.model.d_model") == d_model
    config = initial_config.load(initial_config.choose(survey, "mine", False))
    assert (config.trainer.batch_size, config.trainer.epochs) == (batch_size, epochs)
    assert config.trainer.optimizer.warmup_steps == warmup_steps
    assert warmup_steps < epochs * len(survey.caption_lengths) / batch_size


@pytest.mark.parametrize(
    ("num_images", "has_gpu", "backbone"), [(600, False, ACCURATE), (8_000, False, FAST), (8_000, True, ACCURATE)]
)
def test_the_backbone_suits_the_machine(num_images, has_gpu, backbone):
    assert value_of(of_size(num_images), "feature_extractor.backbone", has_gpu) == backbone.name


def test_images_that_repeat_their_caption_have_equal_weight():
    assert value_of(of_size(600), "trainer.loss_weighting") is None
    assert value_of(of_size(600, num_unique_captions=900), "trainer.loss_weighting") == "per_image"


def test_rare_words_have_no_place_in_a_large_vocabulary():
    words = collections.Counter({f"w{number}": 1 + number % 3 for number in range(9000)})
    assert value_of(of_size(8_000, word_counts=words), "tokenizer.vocabulary_size") == 6000
    assert value_of(TEN, "tokenizer.vocabulary_size") == 1000


@pytest.mark.parametrize(("quantile", "length"), [(1.0, 6), (0.5, 3), (0.51, 6)])
def test_the_caption_length_is_that_of_the_tokenizer(quantile, length):
    assert initial_config.caption_length(TEN, quantile) == length


@pytest.mark.parametrize(
    ("path", "name"), [("/data/My photos (2024)/", "My-photos-2024"), ("/", "captions"), ("/data/.x", "x")]
)
def test_the_name_is_made_of_the_directory(path, name):
    assert initial_config.name_of(path) == name
    assert initial_config.load([Setting("name", name)]).name == name


def test_warnings_name_what_is_wrong():
    reject = Reject("a.jpg", 3, Reason.TRUNCATED, "half a file", source="captions.csv")
    survey = dataclasses.replace(TEN, rejects=(reject,), warnings=("an odd list",))
    config = initial_config.load(initial_config.choose(survey, "mine", False))
    odd, rejected, small, full = initial_config.warnings(survey, config, num_free=10**8)
    assert odd == "an odd list"
    place = "captions.csv:3: a.jpg: truncated: half a file"
    assert rejected == f"some data cannot be used (truncated: 1 image, 1 caption), such as {place}"
    assert small.startswith("the test split has 1 image: BLEU-4 over fewer than 50 says little")
    assert full.startswith("about 1.0 GB are needed at ") and full.endswith(" 0.1 GB are free")
    refused = dataclasses.replace(survey, refusal="1 of 20 captions can't be used")
    assert "the run will stop: 1 of 20 captions can't be used" in initial_config.warnings(refused, config, 10**12)
    assert initial_config.warnings(of_size(600), config, num_free=10**12) == []


def test_the_estimate_says_what_it_assumes():
    config = initial_config.load(initial_config.choose(TEN, "mine", False))
    text = initial_config.estimate(TEN, config, Speed(2.0, 3.0, 8, extraction_start=5.0, training_start=4.0))
    # features 5 + 10 * 2 s, training 3 * 4 + 40 * ((1 + 2 * 1) * 3 + 1) s, and a minute
    assert text.startswith(
        "about 8 minutes to 17 minutes for the first run on this machine: features 25 s (2000 ms per image), training"
    )
    assert "training 7 minutes (3000 ms per step, evaluation after each epoch included), other steps 60 s. It" in text
    assert initial_config.captions_of(TEN, config) == Captions(per_image=2, num_words=6, vocabulary_size=3)
