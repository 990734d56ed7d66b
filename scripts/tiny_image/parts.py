"""The untrained parts of the pipeline, every one a class of diffusers or transformers."""

from collections.abc import Iterable

from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
)
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

from scripts.tiny_image.pictures import SIDE, TRIGGER

TEXT_TOKENS = 16
"""Of a caption. FLUX's text has no mask, so every caption is padded to just so many."""
VOCABULARY = 448
LATENT_CHANNELS = 8

_PAD, _END, _BEGIN, _UNKNOWN = "<pad>", "</s>", "<s>", "<unk>"
_SPECIAL = [_PAD, _END, _BEGIN, _UNKNOWN, TRIGGER]


def autoencoder() -> AutoencoderKL:
    """Pictures to latents of an eighth of the area and back."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        block_out_channels=(16, 32, 48),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        layers_per_block=1,
        sample_size=SIDE,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )


def transformer() -> FluxTransformer2DModel:
    """The flow model; its blocks begin as the identity (AdaLN-zero: Peebles and Xie 2023, 3.2)."""
    model = FluxTransformer2DModel(
        patch_size=1,
        in_channels=4 * LATENT_CHANNELS,
        num_layers=2,
        num_single_layers=4,
        attention_head_dim=32,
        num_attention_heads=4,
        joint_attention_dim=96,
        pooled_projection_dim=64,
        axes_dims_rope=(8, 12, 12),
        guidance_embeds=False,
    )
    modulations = ("norm1.linear", "norm1_context.linear", "norm.linear", "norm_out.linear")
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and name.endswith((*modulations, "proj_out")):
            # A single block's own output projection must not be dead as well as its gate.
            if name.endswith("proj_out") and "." in name:
                continue
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    return model


def clip_encoder() -> CLIPTextModel:
    """The encoder whose pooled output steers every block."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=VOCABULARY,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=TEXT_TOKENS,
            projection_dim=64,
            bos_token_id=_SPECIAL.index(_BEGIN),
            eos_token_id=_SPECIAL.index(_END),
            pad_token_id=_SPECIAL.index(_PAD),
        )
    )


def t5_encoder() -> T5EncoderModel:
    """The encoder whose tokens are attended to."""
    return T5EncoderModel(
        T5Config(
            vocab_size=VOCABULARY,
            d_model=96,
            d_kv=24,
            d_ff=192,
            num_layers=2,
            num_heads=4,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
        )
    )


def tokenizers(captions: Iterable[str]) -> tuple[PreTrainedTokenizerFast, PreTrainedTokenizerFast]:
    """One byte-level BPE of `captions`, as CLIP frames a text and as T5 does."""
    bpe = Tokenizer(models.BPE(unk_token=_UNKNOWN))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        captions,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=_SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    text = bpe.to_str()
    return _framed(text, f"{_BEGIN} $A {_END}"), _framed(text, f"$A {_END}")


def pipeline(
    vae: AutoencoderKL,
    flow: FluxTransformer2DModel,
    clip: CLIPTextModel,
    t5: T5EncoderModel,
    clip_tokenizer: PreTrainedTokenizerFast,
    t5_tokenizer: PreTrainedTokenizerFast,
) -> FluxPipeline:
    """The parts as one, sampled along the straight schedule that they are trained on."""
    scheduler = FlowMatchEulerDiscreteScheduler(shift=1.0, use_dynamic_shifting=False)
    whole = FluxPipeline(scheduler, vae, clip, clip_tokenizer, t5, t5_tokenizer, flow)
    whole.set_progress_bar_config(disable=True)
    return whole


def _framed(bpe: str, template: str) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer.from_str(bpe)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template,
        special_tokens=[(token, _SPECIAL.index(token)) for token in (_BEGIN, _END)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=_PAD,
        eos_token=_END,
        bos_token=_BEGIN,
        unk_token=_UNKNOWN,
        model_max_length=TEXT_TOKENS,
    )
