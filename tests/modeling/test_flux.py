"""FLUX pipelines are found in folders and in the Hugging Face cache, tiny ones and real ones."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
)
from huggingface_hub import constants
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from tunery.bases.catalog import BUILT_IN
from tunery.core.errors import InvalidValue, Unsupported
from tunery.modeling.flux import (
    is_small,
    load_pipeline,
    manner,
    native_side,
    pixel_multiple,
    resolve_pipeline,
    token_limit,
)

TINY_IMAGE = str(BUILT_IN / "tiny-image")
REVISION = "0123456789012345678901234567890123456789"
CPU = torch.device("cpu")
WIDTH = 32


def write_flux(folder: Path) -> Path:
    """A random pipeline laid out and configured as FLUX.1-dev is, but for the sizes."""
    torch.manual_seed(0)
    words = load_pipeline(TINY_IMAGE, device=CPU)
    limits = {"clip": 77, "t5": 512}
    words.tokenizer.model_max_length = limits["clip"]
    words.tokenizer_2.model_max_length = limits["t5"]
    size = len(words.tokenizer)
    clip = CLIPTextConfig(
        vocab_size=size,
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=limits["clip"],
        projection_dim=WIDTH,
        bos_token_id=words.tokenizer.bos_token_id,
        eos_token_id=words.tokenizer.eos_token_id,
        pad_token_id=words.tokenizer.pad_token_id,
    )
    t5 = T5Config(vocab_size=size, d_model=WIDTH, d_kv=16, d_ff=WIDTH, num_layers=1, num_heads=2)
    pipeline = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(8, 8, 8, 8),
            latent_channels=16,
            norm_num_groups=4,
            sample_size=1024,
            scaling_factor=0.3611,
            shift_factor=0.1159,
            use_quant_conv=False,
            use_post_quant_conv=False,
        ),
        text_encoder=CLIPTextModel(clip),
        tokenizer=words.tokenizer,
        text_encoder_2=T5EncoderModel(t5),
        tokenizer_2=words.tokenizer_2,
        transformer=FluxTransformer2DModel(
            in_channels=64,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=WIDTH,
            pooled_projection_dim=WIDTH,
            guidance_embeds=True,
            axes_dims_rope=(4, 6, 6),
        ),
    )
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def flux(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_flux(tmp_path_factory.mktemp("flux"))


@pytest.fixture
def broken(flux: Path, tmp_path: Path) -> Path:
    """The same pipeline, to be spoilt: its files are links, so that a test may take some away."""
    folder = tmp_path / "broken"
    for file in flux.rglob("*.*"):
        link = folder / file.relative_to(flux)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file)
    return folder


def drawn(pipeline: FluxPipeline, side: int) -> torch.Tensor:
    pictures: torch.Tensor = pipeline(
        "a red circle",
        width=side,
        height=side,
        num_inference_steps=1,
        guidance_scale=3.5,
        max_sequence_length=token_limit(pipeline),
        generator=torch.Generator().manual_seed(0),
        output_type="pt",
    ).images
    return pictures


def test_tiny_image_says_its_side_its_tokens_and_its_multiple() -> None:
    pipeline = load_pipeline(TINY_IMAGE, device=CPU)
    assert (native_side(pipeline), token_limit(pipeline), pixel_multiple(pipeline)) == (32, 16, 8)
    assert is_small(pipeline)
    assert pipeline.transformer.dtype == torch.float32


def test_a_folder_laid_out_as_flux_1_loads_and_draws(flux: Path) -> None:
    pipeline = load_pipeline(str(flux), device=CPU)
    assert (native_side(pipeline), token_limit(pipeline)) == (1024, 512)
    assert pixel_multiple(pipeline) == 16
    assert not is_small(pipeline)
    assert pipeline.transformer.config.guidance_embeds
    assert drawn(pipeline, 32).shape == (1, 3, 32, 32)


def test_the_dtype_may_be_chosen(flux: Path) -> None:
    pipeline = load_pipeline(str(flux), device=CPU, dtype=torch.bfloat16)
    parts = (pipeline.transformer, pipeline.vae, pipeline.text_encoder, pipeline.text_encoder_2)
    assert {part.dtype for part in parts} == {torch.bfloat16}


def test_the_hugging_face_cache_is_read(
    flux: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "hub" / "models--acme--flux"
    (model / "snapshots").mkdir(parents=True)
    (model / "snapshots" / REVISION).symlink_to(flux)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(REVISION)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    cached = load_pipeline("acme/flux", device=CPU)
    torch.testing.assert_close(drawn(cached, 32), drawn(load_pipeline(str(flux), device=CPU), 32))
    with pytest.raises(InvalidValue, match="`hf download acme/other`"):
        resolve_pipeline("acme/other")


def test_what_is_no_flux_pipeline_is_refused(broken: Path) -> None:
    with pytest.raises(Unsupported, match="no pipeline of diffusers"):
        resolve_pipeline(str(BUILT_IN / "tiny-chat"))
    index = broken / "model_index.json"
    words = json.loads(index.read_text())
    for kind in ("StableDiffusionPipeline", "FluxFillPipeline"):
        index.unlink()
        index.write_text(json.dumps({**words, "_class_name": kind}))
        with pytest.raises(Unsupported, match=f"is {kind}; .* FluxPipeline"):
            resolve_pipeline(str(broken))
    index.write_text("{")
    with pytest.raises(InvalidValue, match=r"model_index\.json .* cannot be read"):
        resolve_pipeline(str(broken))


def test_pickled_weights_are_refused(broken: Path) -> None:
    weights = broken / "vae" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(Unsupported, match=r"the vae of .* only pickled ones"):
        load_pipeline(str(broken))


def test_what_cannot_be_read_is_said_with_the_reason(broken: Path) -> None:
    (broken / "transformer" / "config.json").unlink()
    with pytest.raises(Unsupported, match="cannot be read as a FLUX pipeline"):
        load_pipeline(str(broken))


def test_code_that_comes_with_a_pipeline_is_not_run(broken: Path, tmp_path: Path) -> None:
    index = broken / "model_index.json"
    words = json.loads(index.read_text())
    index.unlink()
    index.write_text(json.dumps({**words, "transformer": ["evil", "FluxTransformer2DModel"]}))
    witness = tmp_path / "ran"
    for folder in (broken, broken / "transformer"):
        (folder / "evil.py").write_text(f"open({str(witness)!r}, 'w').close()")
    with pytest.raises(Unsupported):
        load_pipeline(str(broken))
    assert not witness.exists()


def test_a_model_is_called_in_the_manner_that_it_learnt(flux: Path) -> None:
    tiny, dev = load_pipeline(TINY_IMAGE, device=CPU), load_pipeline(str(flux), device=CPU)
    assert manner(tiny) == {
        "num_inference_steps": 16,
        "true_cfg_scale": 3.0,
        "negative_prompt": "",
    }
    assert manner(dev) == {"num_inference_steps": 28, "guidance_scale": 3.5}
    assert manner(dev, steps=40, guidance=2.5) == {
        "num_inference_steps": 40,
        "guidance_scale": 2.5,
    }


def test_guidance_that_would_burn_the_picture_is_bounded(flux: Path) -> None:
    tiny, dev = load_pipeline(TINY_IMAGE, device=CPU), load_pipeline(str(flux), device=CPU)
    assert manner(tiny, guidance=60.0)["true_cfg_scale"] == 5.0
    assert manner(dev, guidance=60.0)["guidance_scale"] == 5.0


def test_a_model_distilled_as_schnell_is_not_guided(broken: Path) -> None:
    """FLUX.1-schnell differs from FLUX.1-dev in these two places."""
    for file, name in {
        "transformer/config.json": "guidance_embeds",
        "scheduler/scheduler_config.json": "use_dynamic_shifting",
    }.items():
        config = json.loads((broken / file).read_text())
        (broken / file).unlink()
        (broken / file).write_text(json.dumps({**config, name: False}))
    schnell = load_pipeline(str(broken), device=CPU)
    assert manner(schnell, guidance=3.0) == {"num_inference_steps": 4}
