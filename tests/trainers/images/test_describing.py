"""Pictures without a caption are described by a model, where one is set up."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
    PreTrainedTokenizerFast,
)

from tests.trainers.images.conftest import Changed, rings, run, write_set
from tunery.core.errors import Unsupported
from tunery.core.progress import Failed, Sampled
from tunery.trainers.images.describing import describer

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[DEC]", "a", "red", "blue", "ring", "cat", "hat"]


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random BLIP."""
    folder = tmp_path_factory.mktemp("blip")
    torch.manual_seed(0)
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    text = {
        **sizes,
        "vocab_size": len(WORDS),
        "encoder_hidden_size": 16,
        "bos_token_id": 4,
        "eos_token_id": 3,
        "sep_token_id": 3,
        "pad_token_id": 0,
    }
    config = BlipConfig(
        text_config=text, vision_config={**sizes, "image_size": 32, "patch_size": 8}
    )
    BlipForConditionalGeneration(config).save_pretrained(folder)
    words = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, "[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        bos_token="[DEC]",
    )
    processor = BlipProcessor(BlipImageProcessor(size={"height": 32, "width": 32}), tokenizer)
    processor.save_pretrained(folder)
    return folder


def test_a_picture_is_described_in_words_the_same_each_time(seeing: Path) -> None:
    describe = describer(str(seeing))
    image = rings(1)[0][0]
    said = describe(image)
    assert said
    assert set(said.split()) <= set(WORDS[5:])
    assert describer(str(seeing))(image) == said


def test_a_job_learns_with_the_captions_of_such_a_model(
    seeing: Path, changed: Changed, blobs: Path
) -> None:
    pictures = [(image, None) for image, _ in rings(2)]
    write_set(blobs / "files" / "rings", pictures)
    describe = describer(str(seeing))
    [shown, *_] = (
        value for value in run(changed(caption_model=str(seeing))) if isinstance(value, Sampled)
    )
    expected = dict.fromkeys(f"TOK, {describe(image)}" for image, _ in pictures)
    assert shown.prompts == tuple(expected)


def test_no_such_model_is_looked_for_where_every_picture_has_a_caption(changed: Changed) -> None:
    values = run(changed(caption_model="nowhere/at-all"))
    assert not any(isinstance(value, Failed) for value in values)


def test_a_captioning_model_that_is_not_there_is_said_so(changed: Changed, blobs: Path) -> None:
    write_set(blobs / "files" / "rings", [(image, None) for image, _ in rings(2)])
    [failed] = run(changed(caption_model="nowhere/at-all"))
    assert isinstance(failed, Failed)
    assert "pictures cannot be captioned with 'nowhere/at-all'" in failed.message
    assert failed.param == "captioning"


def test_pickled_weights_and_other_kinds_of_models_are_refused(
    seeing: Path, tmp_path: Path
) -> None:
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text(json.dumps({"model_type": "blip"}))
    (pickled / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(Unsupported, match="safetensors"):
        describer(str(pickled))
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (other / "model.safetensors").write_bytes(b"")
    with pytest.raises(Unsupported, match="cannot be captioned"):
        describer(str(other))


def test_describing_takes_no_more_than_a_look(seeing: Path) -> None:
    """The picture that is learnt stays as it was."""
    image = Image.new("RGB", (40, 24), "red")
    before = image.tobytes()
    describer(str(seeing))(image)
    assert image.tobytes() == before
