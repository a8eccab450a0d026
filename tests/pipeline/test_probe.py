import pytest

from components.feature_extractor.settings import FeatureExtractorSettings
from components.shared import scenes
from components.shared.models.settings import TransformerSettings
from components.trainer.settings import TrainerSettings
from pipeline.probe import Captions, Speed, measure


def test_an_estimate_counts_whole_steps_the_start_and_the_evaluation_of_each_epoch():
    speed = Speed(0.5, 2.0, images_per_step=8, extraction_start=7.0, training_start=4.0)
    # 3 steps of train, 2 of eval, each of which counts twice, and a second for the rest
    seconds_per_epoch = (3 + 2 * 2) * 2.0 + 1.0
    assert speed.seconds({"train": 20, "eval": 9, "test": 1}, epochs=10) == (22.0, 12.0 + 10 * seconds_per_epoch)


@pytest.mark.slow
def test_extraction_and_training_are_measured(tmp_path):
    (tmp_path / "a.jpg").write_bytes(scenes.jpeg(0, 0))
    extractor = FeatureExtractorSettings("MobileNet", "imagenet", image_size=32, batch_size=2)  # nothing is downloaded
    model = TransformerSettings(num_encoder_layers=1, num_decoder_layers=1, d_model=16, num_heads=2, ffn_dim=32)
    trainer = TrainerSettings(model=model, batch_size=8)
    speed = measure(
        extractor, trainer, [str(tmp_path / "a.jpg")], Captions(per_image=3, num_words=5, vocabulary_size=20)
    )
    assert speed.images_per_step == 2
    assert 0 < speed.seconds_per_image < 60 and 0 < speed.seconds_per_step < 60
    assert speed.extraction_start > speed.seconds_per_image and speed.training_start > speed.seconds_per_step
