"""Component configurations: the public ones of SD 1.5, SD 2.1 and SDXL, and tiny ones of the same
topology. The keys are those of the published config.json files."""

import copy


def _levels(kind, cross):
    """Block type names of the down path for a list of "has attention" flags."""
    return [("CrossAttn" if c else "") + kind for c in cross]


def unet(channels, heads, context, cross, **more):
    config = {
        "_class_name": "UNet2DConditionModel",
        "act_fn": "silu",
        "attention_head_dim": heads,
        "block_out_channels": channels,
        "center_input_sample": False,
        "cross_attention_dim": context,
        "down_block_types": _levels("DownBlock2D", cross),
        "downsample_padding": 1,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "in_channels": 4,
        "layers_per_block": 2,
        "mid_block_scale_factor": 1,
        "norm_eps": 1e-05,
        "norm_num_groups": 32,
        "out_channels": 4,
        "sample_size": 64,
        "up_block_types": _levels("UpBlock2D", cross[::-1]),
    }
    config.update(more)
    return config


def unet_sd15(channels, context):
    return unet(channels, 8, context, [1, 1, 1, 0])


def unet_sd21(channels, context, **more):
    return unet(channels, [c // 64 for c in channels], context, [1, 1, 1, 0], dual_cross_attention=False,
                num_class_embeds=None, only_cross_attention=False, upcast_attention=False,
                use_linear_projection=True, **more)


def unet_sdxl(channels, context, depth, time_dim, adm):
    return unet(channels, [c // 64 for c in channels], context, [0, 1, 1], addition_embed_type="text_time",
                addition_embed_type_num_heads=64, addition_time_embed_dim=time_dim, class_embed_type=None,
                dual_cross_attention=False, num_class_embeds=None, only_cross_attention=False,
                projection_class_embeddings_input_dim=adm, resnet_time_scale_shift="default",
                sample_size=128, transformer_layers_per_block=depth, upcast_attention=None,
                use_linear_projection=True)


def controlnet(unet_config, hint):
    """The ControlNet of a UNet: the keys both have, and the widths of the picture's embedding."""
    shared = ("act_fn", "attention_head_dim", "block_out_channels", "cross_attention_dim", "down_block_types",
              "downsample_padding", "flip_sin_to_cos", "freq_shift", "in_channels", "layers_per_block",
              "mid_block_scale_factor", "norm_eps", "norm_num_groups", "use_linear_projection",
              "transformer_layers_per_block", "addition_embed_type", "addition_time_embed_dim",
              "projection_class_embeddings_input_dim")
    return {"_class_name": "ControlNetModel", **{k: unet_config[k] for k in shared if k in unet_config},
            "conditioning_embedding_out_channels": hint, "controlnet_conditioning_channel_order": "rgb"}


def vae(channels, **more):
    config = {
        "_class_name": "AutoencoderKL",
        "act_fn": "silu",
        "block_out_channels": channels,
        "down_block_types": ["DownEncoderBlock2D"] * len(channels),
        "in_channels": 3,
        "latent_channels": 4,
        "layers_per_block": 2,
        "norm_num_groups": 32,
        "out_channels": 3,
        "sample_size": 512,
        "up_block_types": ["UpDecoderBlock2D"] * len(channels),
    }
    config.update(more)
    return config


def taesd(channels):
    return {
        "_class_name": "AutoencoderTiny",
        "act_fn": "relu",
        "decoder_block_out_channels": [channels] * 4,
        "encoder_block_out_channels": [channels] * 4,
        "force_upcast": False,
        "in_channels": 3,
        "latent_channels": 4,
        "latent_magnitude": 3,
        "latent_shift": 0.5,
        "num_decoder_blocks": [3, 3, 3, 1],
        "num_encoder_blocks": [1, 3, 3, 3],
        "out_channels": 3,
        "scaling_factor": 1.0,
        "upsampling_scaling_factor": 2,
    }


def clip(width, layers, act="quick_gelu", projection=None):
    return {
        "architectures": ["CLIPTextModelWithProjection" if projection else "CLIPTextModel"],
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        "dropout": 0.0,
        "eos_token_id": 2,
        "hidden_act": act,
        "hidden_size": width,
        "initializer_factor": 1.0,
        "initializer_range": 0.02,
        "intermediate_size": 4 * width,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": 77,
        "model_type": "clip_text_model",
        "num_attention_heads": width // 64,
        "num_hidden_layers": layers,
        "pad_token_id": 1,
        "projection_dim": projection or width,
        "vocab_size": 49408,
    }


def scheduler(cls, **more):
    config = {
        "_class_name": cls,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "clip_sample": False,
        "num_train_timesteps": 1000,
        "prediction_type": "epsilon",
        "steps_offset": 1,
        "trained_betas": None,
    }
    config.update(more)
    return config


def tokenizer(pad):
    return {
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "model_max_length": 77,
        "pad_token": pad,
        "tokenizer_class": "CLIPTokenizer",
        "unk_token": "<|endoftext|>",
    }


def _index(pipeline, components, **more):
    index = {"_class_name": pipeline, **more}
    for name, config in components.items():
        library = "transformers" if name.startswith(("text", "token")) else "diffusers"
        cls = config.get("_class_name") or config.get("tokenizer_class") or config["architectures"][0]
        index[name] = [library, cls]
    return {"model_index": index, **components}


EOS = "<|endoftext|>"


def sd15(unet_config, clip_config, vae_config):
    return _index("StableDiffusionPipeline", {
        "scheduler": scheduler("PNDMScheduler", set_alpha_to_one=False, skip_prk_steps=True),
        "text_encoder": clip_config, "tokenizer": tokenizer(EOS), "unet": unet_config, "vae": vae_config})


def sd21(unet_config, clip_config, vae_config, scheduler_config):
    return _index("StableDiffusionPipeline", {
        "scheduler": scheduler_config, "text_encoder": clip_config, "tokenizer": tokenizer("!"),
        "unet": unet_config, "vae": vae_config})


def sdxl(unet_config, clip_config, clip2_config, vae_config):
    return _index("StableDiffusionXLPipeline", {
        "scheduler": scheduler("EulerDiscreteScheduler", interpolation_type="linear", sample_max_value=1.0,
                               set_alpha_to_one=False, skip_prk_steps=True, timestep_spacing="leading",
                               use_karras_sigmas=False),
        "text_encoder": clip_config, "text_encoder_2": clip2_config, "tokenizer": tokenizer(EOS),
        "tokenizer_2": tokenizer("!"), "unet": unet_config, "vae": vae_config},
        force_zeros_for_empty_prompt=True)


DDIM_V = scheduler("DDIMScheduler", prediction_type="v_prediction", set_alpha_to_one=False, skip_prk_steps=True)
DDIM = scheduler("DDIMScheduler", set_alpha_to_one=False, skip_prk_steps=True)
TURBO = scheduler("EulerDiscreteScheduler", interpolation_type="linear", set_alpha_to_one=False,
                  skip_prk_steps=True, timestep_spacing="trailing", use_karras_sigmas=False)
XL_VAE = {"force_upcast": True, "scaling_factor": 0.13025}

# Tiny: every head of a text encoder and of the SD2/SDXL UNets is 64 wide, as in the real models,
# because a single-file checkpoint has no config to say otherwise.
_TINY_VAE = [32, 64, 64, 64]
_TINY_21 = dict(channels=[64, 128, 128, 128], context=192)
TINY = {
    "sd15": sd15(unet_sd15([32, 64, 96, 96], 128), clip(128, 3), vae(_TINY_VAE)),
    "sd21": sd21(unet_sd21(**_TINY_21, sample_size=96), clip(192, 3, "gelu"), vae(_TINY_VAE), DDIM_V),
    "sd-turbo": sd21(unet_sd21(**_TINY_21), clip(192, 3, "gelu"), vae(_TINY_VAE), TURBO),
    "sdxl": sdxl(unet_sdxl([64, 128, 128], 320, [1, 2, 3], 32, 128 + 6 * 32), clip(128, 3),
                 clip(192, 4, "gelu", 128), vae(_TINY_VAE, **XL_VAE)),
    "taesd": {"vae": taesd(32)},
}
# Inpainting models: noisy latent, mask, latent of the picture without what the mask covers.
for _family in ("sd15", "sdxl"):
    TINY[_family + "-inpaint"] = copy.deepcopy(TINY[_family])
    TINY[_family + "-inpaint"]["unet"]["in_channels"] = 9
_TINY_HINT = [16, 16, 32, 64]
for _family in ("sd15", "sdxl"):
    TINY["controlnet-" + _family] = {"controlnet": controlnet(TINY[_family]["unet"], _TINY_HINT)}

_VAE = [128, 256, 512, 512]
_21 = dict(channels=[320, 640, 1280, 1280], context=1024)
FULL = {
    "sd15": sd15(unet_sd15([320, 640, 1280, 1280], 768), clip(768, 12), vae(_VAE)),
    "sd21": sd21(unet_sd21(**_21), clip(1024, 23, "gelu"), vae(_VAE), DDIM),
    "sdxl": sdxl(unet_sdxl([320, 640, 1280], 2048, [1, 2, 10], 256, 2816), clip(768, 12),
                 clip(1280, 32, "gelu", 1280), vae(_VAE, sample_size=1024, **XL_VAE)),
}


def get(table, name):
    return copy.deepcopy(table[name])
