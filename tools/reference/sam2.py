"""SAM 2.1 in PyTorch: the yardstick that massflow's own SAM2 is held to, and what trains the small one.

Written from the facts (parameter names, shapes, order of operations), so that official weights load by
name; of any size; runs in float64 as in float32. Needs only torch.
"""

import json
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

MEMORIES = 7          # frames in the memory bank: the prompted one and six before
POINTERS = 16         # object pointers seen at most
NO_OBJECT = -1024.0   # logit of a mask whose object is not there
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass
class Config:
    image_size: int = 256
    embed_dim: int = 32
    heads: int = 1                      # of the first stage; doubles with each
    stages: tuple = (1, 2, 3, 1)        # blocks
    global_blocks: tuple = (4,)         # these attend over the whole image
    windows: tuple = (8, 4, 8, 4)       # of the other blocks, per stage
    background: tuple = (7, 7)          # size of the coarse position embedding
    d_model: int = 128
    mem_dim: int = 64                   # divides d_model
    decoder_heads: int = 8
    decoder_mlp: int = 256
    iou_hidden: int = 128
    memory_layers: int = 2
    memory_mlp: int = 256

    def metadata(self):
        """What the shapes of tensors do not tell, as safetensors metadata."""
        keys = ("image_size", "embed_dim", "heads", "stages", "global_blocks", "windows", "decoder_heads")
        return {"massflow.sam2": json.dumps({k: getattr(self, k) for k in keys}, separators=(",", ":"))}

    @staticmethod
    def of(state, metadata):
        """The configuration of weights with metadata as above."""
        told = json.loads(metadata["massflow.sam2"])
        told = {k: tuple(v) if isinstance(v, list) else v for k, v in told.items()}
        layers = [n for n in state if n.startswith("memory_attention.layers.") and n.endswith("norm1.weight")]
        return Config(background=tuple(state["image_encoder.trunk.pos_embed"].shape[2:]),
                      d_model=state["no_mem_embed"].shape[-1], mem_dim=state["maskmem_tpos_enc"].shape[-1],
                      decoder_mlp=state["sam_mask_decoder.transformer.layers.0.mlp.layers.0.weight"].shape[0],
                      iou_hidden=state["sam_mask_decoder.iou_prediction_head.layers.0.weight"].shape[0],
                      memory_layers=len(layers),
                      memory_mlp=state["memory_attention.layers.0.linear1.weight"].shape[0], **told)


# ---- pieces ------------------------------------------------------------------------------------------

class MLP(nn.Module):
    def __init__(self, i, hidden, o, layers, act=F.relu):
        super().__init__()
        sizes = [i] + [hidden] * (layers - 1) + [o]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.act = act

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = self.act(layer(x))
        return self.layers[-1](x)


class ChannelNorm(nn.Module):
    """Layer norm over the channels of [N,C,H,W]."""

    def __init__(self, c):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(c)), nn.Parameter(torch.zeros(c))

    def forward(self, x):
        return F.layer_norm(x.movedim(1, -1), self.weight.shape, self.weight, self.bias, 1e-6).movedim(-1, 1)


def sine_2d(channels, h, w, like):
    """Position embedding [1,C,h,w]: first half of the channels for y, second for x; sine, cosine in turn."""
    half, dtype = channels // 2, torch.promote_types(like.dtype, torch.float32)
    at = torch.arange(half, dtype=dtype, device=like.device)
    period = 10000 ** (2 * (at // 2) / half)

    def along(n):
        v = torch.arange(1, n + 1, dtype=dtype, device=like.device)
        v = (v / (n + 1e-6) * (2 * math.pi))[:, None] / period
        return torch.stack((v[:, 0::2].sin(), v[:, 1::2].cos()), 2).flatten(1)

    y, x = along(h), along(w)
    both = torch.cat((y[:, None].expand(h, w, half), x[None].expand(h, w, half)), 2)
    return both.permute(2, 0, 1)[None]


def sine_1d(v, channels):
    """[n] -> [n,C]: all sines, then all cosines."""
    half = channels // 2
    at = torch.arange(half, dtype=v.dtype, device=v.device)
    v = v[:, None] / 10000 ** (2 * (at // 2) / half)
    return torch.cat((v.sin(), v.cos()), 1)


def attend(q, k, v):
    """[N,heads,L,C], [N,heads,M,C] twice -> [N,heads,L,C]"""
    return F.scaled_dot_product_attention(q, k, v)


def split(x, heads):
    """[N,L,C] -> [N,heads,L,C/heads]"""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


# ---- image encoder -----------------------------------------------------------------------------------

def windows_of(x, size):
    """[N,H,W,C] -> [N*windows,size,size,C], zeros beyond the border."""
    n, h, w, c = x.shape
    x = F.pad(x, (0, 0, 0, -w % size, 0, -h % size))
    x = x.view(n, x.shape[1] // size, size, x.shape[2] // size, size, c)
    return x.transpose(2, 3).reshape(-1, size, size, c)


def from_windows(x, size, n, h, w):
    """The way back, with the border cut to [N,h,w,C]."""
    rows, columns = -(-h // size), -(-w // size)
    x = x.view(n, rows, columns, size, size, -1).transpose(2, 3)
    return x.reshape(n, rows * size, columns * size, -1)[:, :h, :w]


def halve(x):
    """Maximum of 2x2 tokens of [N,H,W,C]."""
    return F.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


class HieraAttention(nn.Module):
    def __init__(self, i, o, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(i, 3 * o), nn.Linear(o, o)

    def forward(self, x, pool):
        n, h, w, _ = x.shape
        q, k, v = self.qkv(x).chunk(3, -1)
        if pool:
            q = halve(q)
            h, w = h // 2, w // 2
        x = attend(*(split(t.flatten(1, 2), self.heads) for t in (q, k, v)))
        return self.proj(x.transpose(1, 2).reshape(n, h, w, -1))


class HieraBlock(nn.Module):
    """window: 0 for the whole image. pool: queries, and so the result, at half the resolution."""

    def __init__(self, i, o, heads, window, pool):
        super().__init__()
        self.window, self.pool = window, pool
        self.norm1, self.norm2 = nn.LayerNorm(i, 1e-6), nn.LayerNorm(o, 1e-6)
        self.attn = HieraAttention(i, o, heads)
        self.mlp = MLP(o, 4 * o, o, 2, F.gelu)
        if i != o:
            self.proj = nn.Linear(i, o)

    def forward(self, x):
        n, h, w, _ = x.shape
        y = self.norm1(x)
        if hasattr(self, "proj"):
            x = self.proj(y)
            x = halve(x) if self.pool else x
        window = self.window
        if window:
            y = windows_of(y, window)
        y = self.attn(y, self.pool)
        if self.pool:
            window, h, w = window // 2, h // 2, w // 2
        if window:
            y = from_windows(y, window, n, h, w)
        x = x + y
        return x + self.mlp(self.norm2(x))


class Trunk(nn.Module):
    def __init__(self, c):
        super().__init__()
        dim, heads, blocks, self.ends = c.embed_dim, c.heads, [], []
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, dim, 7, 4, 3)
        self.pos_embed = nn.Parameter(torch.zeros(1, dim, *c.background))
        self.pos_embed_window = nn.Parameter(torch.zeros(1, dim, c.windows[0], c.windows[0]))
        for stage, count in enumerate(c.stages):
            for b in range(count):
                enters = stage > 0 and b == 0  # widens, halves, and still has the windows of the stage before
                window = 0 if len(blocks) in c.global_blocks else c.windows[stage - enters]
                heads *= 1 + enters
                blocks.append(HieraBlock(dim, dim * (1 + enters), heads, window, enters))
                dim *= 1 + enters
            self.ends.append(len(blocks) - 1)
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x):
        """[N,3,S,S] -> four maps [N,C,S/4,S/4] .. [N,8C,S/32,S/32]"""
        x = self.patch_embed.proj(x)
        tile = self.pos_embed_window
        pos = F.interpolate(self.pos_embed, size=x.shape[2:], mode="bicubic")
        pos = pos + tile.tile(1, 1, x.shape[2] // tile.shape[2], x.shape[3] // tile.shape[3])
        x, out = (x + pos).permute(0, 2, 3, 1), []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self.ends:
                out.append(x.permute(0, 3, 1, 2))
        return out


class Neck(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.convs = nn.ModuleList()
        for stage in (3, 2, 1, 0):
            level = nn.Module()
            level.conv = nn.Conv2d(c.embed_dim << stage, c.d_model, 1)
            self.convs.append(level)

    def forward(self, maps):
        """Only level 2 takes from the level above it."""
        out = [self.convs[3 - i].conv(m) for i, m in enumerate(maps)]
        out[2] = out[2] + F.interpolate(out[3], scale_factor=2.0, mode="nearest")
        return out


# ---- prompts and masks -------------------------------------------------------------------------------

class PromptEncoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        d = c.d_model
        self.size = c.image_size
        self.pe_layer = nn.Module()
        self.pe_layer.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, d // 2))
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, d) for _ in range(4))
        self.not_a_point_embed, self.no_mask_embed = nn.Embedding(1, d), nn.Embedding(1, d)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, 4, 2, 2), ChannelNorm(4), nn.GELU(),
            nn.Conv2d(4, 16, 2, 2), ChannelNorm(16), nn.GELU(), nn.Conv2d(16, d, 1))

    def position(self, xy):
        """[...,2] in 0..1 -> [...,d]"""
        x, y = self.pe_layer.positional_encoding_gaussian_matrix
        xy = (2 * xy - 1) * (2 * math.pi)
        v = xy[..., :1] * x + xy[..., 1:] * y
        return torch.cat((v.sin(), v.cos()), -1)

    def dense_position(self, h, w):
        like = self.no_mask_embed.weight
        y = (torch.arange(h, dtype=like.dtype, device=like.device) + 0.5) / h
        x = (torch.arange(w, dtype=like.dtype, device=like.device) + 0.5) / w
        return self.position(torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)).permute(2, 0, 1)[None]

    def points(self, xy, labels):
        """xy [N,P,2] in pixels of the model; labels [N,P]: 1 object, 0 not, 2 and 3 corners of a box, -1 none.
        -> [N,P+1,d]; one "none" is always added."""
        xy = torch.cat((xy + 0.5, xy.new_zeros(len(xy), 1, 2)), 1)
        labels = torch.cat((labels, labels.new_full((len(labels), 1), -1)), 1)[..., None]
        kinds = torch.cat([e.weight for e in self.point_embeddings])
        known = self.position(xy / self.size) + kinds[labels[..., 0].clamp(min=0)]
        return torch.where(labels < 0, self.not_a_point_embed.weight, known)

    def masks(self, masks, n, h, w):
        """masks [N,1,4h,4w] logits, or None -> [N,d,h,w]"""
        if masks is None:
            return self.no_mask_embed.weight[:, :, None, None].expand(n, -1, h, w)
        return self.mask_downscaling(masks)


class Attention(nn.Module):
    def __init__(self, d, heads, inner, kv=None):
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj = nn.Linear(d, inner), nn.Linear(kv or d, inner)
        self.v_proj, self.out_proj = nn.Linear(kv or d, inner), nn.Linear(inner, d)

    def forward(self, q, k, v):
        q, k, v = (split(t, self.heads) for t in (self.q_proj(q), self.k_proj(k), self.v_proj(v)))
        return self.out_proj(attend(q, k, v).transpose(1, 2).flatten(2))


class TwoWayBlock(nn.Module):
    def __init__(self, d, heads, mlp, first):
        super().__init__()
        self.first = first
        self.self_attn = Attention(d, heads, d)
        self.cross_attn_token_to_image = Attention(d, heads, d // 2)
        self.cross_attn_image_to_token = Attention(d, heads, d // 2)
        self.mlp = MLP(d, mlp, d, 2)
        self.norm1, self.norm2, self.norm3, self.norm4 = (nn.LayerNorm(d) for _ in range(4))

    def forward(self, tokens, image, token_pos, image_pos):
        """tokens [N,T,d], image [N,h*w,d]"""
        if self.first:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            q = tokens + token_pos
            tokens = tokens + self.self_attn(q, q, tokens)
        tokens = self.norm1(tokens)
        k = image + image_pos
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + token_pos, k, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = image + self.cross_attn_image_to_token(k, tokens + token_pos, tokens)
        return tokens, self.norm4(image)


class TwoWay(nn.Module):
    def __init__(self, d, heads, mlp):
        super().__init__()
        self.layers = nn.ModuleList(TwoWayBlock(d, heads, mlp, i == 0) for i in range(2))
        self.final_attn_token_to_image = Attention(d, heads, d // 2)
        self.norm_final_attn = nn.LayerNorm(d)

    def forward(self, tokens, image, image_pos):
        start = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, start, image_pos)
        seen = self.final_attn_token_to_image(tokens + start, image + image_pos, image)
        return self.norm_final_attn(tokens + seen), image


class MaskDecoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        d = c.d_model
        self.transformer = TwoWay(d, c.decoder_heads, c.decoder_mlp)
        self.iou_token, self.mask_tokens = nn.Embedding(1, d), nn.Embedding(4, d)
        self.obj_score_token = nn.Embedding(1, d)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(d, d // 4, 2, 2), ChannelNorm(d // 4), nn.GELU(),
            nn.ConvTranspose2d(d // 4, d // 8, 2, 2), nn.GELU())
        self.conv_s0, self.conv_s1 = nn.Conv2d(d, d // 8, 1), nn.Conv2d(d, d // 4, 1)
        self.output_hypernetworks_mlps = nn.ModuleList(MLP(d, d, d // 8, 3) for _ in range(4))
        self.iou_prediction_head = MLP(d, c.iou_hidden, 4, 3)
        self.pred_obj_score_head = MLP(d, d, 1, 3)

    def forward(self, image, high, pos, sparse, dense):
        """image [N,d,h,w]; high: two maps, [N or 1,d/8,4h,4w] and [N or 1,d/4,2h,2w]; pos [1,d,h,w];
        sparse [N,T,d]; dense [N,d,h,w] -> logits [N,4,4h,4w], IoU [N,4], tokens [N,4,d], score [N,1].
        The first of the four is the mask of unambiguous prompts."""
        own = torch.cat((self.obj_score_token.weight, self.iou_token.weight, self.mask_tokens.weight))
        tokens = torch.cat((own.expand(len(sparse), -1, -1), sparse), 1)
        src = (image + dense).flatten(2).transpose(1, 2)
        tokens, src = self.transformer(tokens, src, pos.flatten(2).transpose(1, 2))
        up1, norm, act, up2, _ = self.output_upscaling
        src = src.transpose(1, 2).unflatten(2, image.shape[2:])
        src = act(up2(act(norm(up1(src) + high[1]))) + high[0])
        weights = torch.stack([m(tokens[:, 2 + i]) for i, m in enumerate(self.output_hypernetworks_mlps)], 1)
        logits = (weights @ src.flatten(2)).unflatten(2, src.shape[2:])
        iou = self.iou_prediction_head(tokens[:, 1]).sigmoid()
        return logits, iou, tokens[:, 2:6], self.pred_obj_score_head(tokens[:, 0])


# ---- memory ------------------------------------------------------------------------------------------

class Fuse(nn.Module):
    """A ConvNeXt block."""

    def __init__(self, d):
        super().__init__()
        self.dwconv = nn.Conv2d(d, d, 7, padding=3, groups=d)
        self.norm = ChannelNorm(d)
        self.pwconv1, self.pwconv2 = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)
        self.gamma = nn.Parameter(torch.full((d,), 1e-6))

    def forward(self, x):
        y = self.norm(self.dwconv(x)).movedim(1, -1)
        return x + (self.gamma * self.pwconv2(F.gelu(self.pwconv1(y)))).movedim(-1, 1)


class MemoryEncoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, layers = c.d_model, []
        for i in range(4):
            layers += [nn.Conv2d(4 ** i, 4 ** (i + 1), 3, 2, 1), ChannelNorm(4 ** (i + 1)), nn.GELU()]
        self.mask_downsampler = nn.Module()
        self.mask_downsampler.encoder = nn.Sequential(*layers, nn.Conv2d(256, d, 1))
        self.pix_feat_proj = nn.Conv2d(d, d, 1)
        self.fuser = nn.Module()
        self.fuser.layers = nn.ModuleList(Fuse(d) for _ in range(2))
        if c.mem_dim != d:
            self.out_proj = nn.Conv2d(d, c.mem_dim, 1)

    def forward(self, image, masks):
        """image [N or 1,d,h,w], masks [N,1,16h,16w] -> [N,mem_dim,h,w]"""
        x = self.pix_feat_proj(image) + self.mask_downsampler.encoder(masks)
        for layer in self.fuser.layers:
            x = layer(x)
        return self.out_proj(x) if hasattr(self, "out_proj") else x


def rotate(x, h, w):
    """Rotary embedding of [N,1,L,C], L a multiple of h*w: pairs of channels turn by x in the first half,
    by y in the second."""
    c, dtype = x.shape[-1], torch.promote_types(x.dtype, torch.float32)
    rate = 10000 ** -(torch.arange(0, c, 4, dtype=dtype, device=x.device) / c)
    at = torch.arange(h * w, device=x.device)
    angle = torch.cat(((at % w)[:, None] * rate, (at // w)[:, None] * rate), 1)
    angle = angle.repeat(x.shape[-2] // (h * w), 1)
    even, odd = x[..., 0::2], x[..., 1::2]
    cos, sin = angle.cos(), angle.sin()
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


class RotaryAttention(Attention):
    def forward(self, q, k, v, h, w, plain=0):
        """The last `plain` keys are not rotated."""
        q, k, v = (split(t, self.heads) for t in (self.q_proj(q), self.k_proj(k), self.v_proj(v)))
        turned = k.shape[-2] - plain
        k = torch.cat((rotate(k[:, :, :turned], h, w), k[:, :, turned:]), 2)
        out = attend(rotate(q, h, w), k, v)
        return self.out_proj(out.transpose(1, 2).flatten(2))


class MemoryLayer(nn.Module):
    def __init__(self, c):
        super().__init__()
        d = c.d_model
        self.self_attn = RotaryAttention(d, 1, d)
        self.cross_attn_image = RotaryAttention(d, 1, d, c.mem_dim)
        self.linear1, self.linear2 = nn.Linear(d, c.memory_mlp), nn.Linear(c.memory_mlp, d)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(d) for _ in range(3))

    def forward(self, x, memory, pos, h, w, plain):
        y = self.norm1(x)
        x = x + self.self_attn(y, y, y, h, w)
        x = x + self.cross_attn_image(self.norm2(x), memory + pos, memory, h, w, plain)
        return x + self.linear2(F.relu(self.linear1(self.norm3(x))))


class MemoryAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.layers = nn.ModuleList(MemoryLayer(c) for _ in range(c.memory_layers))
        self.norm = nn.LayerNorm(c.d_model)

    def forward(self, image, memory, pos, plain):
        """image [N,d,h,w]; memory, pos [N,L,mem_dim], the last `plain` of them pointers -> [N,d,h,w]"""
        h, w = image.shape[2:]
        x = (image + 0.1 * sine_2d(image.shape[1], h, w, image)).flatten(2).transpose(1, 2)
        for layer in self.layers:
            x = layer(x, memory, pos, h, w, plain)
        return self.norm(x).transpose(1, 2).unflatten(2, (h, w))


# ---- the whole ---------------------------------------------------------------------------------------

@dataclass
class Features:
    trunk: list           # four maps
    neck: list            # four maps of d_model channels
    high: list            # [N,d/8,S/4,S/4], [N,d/4,S/8,S/8]
    embed: torch.Tensor   # [N,d,S/16,S/16], no memory added

    def take(self, at):
        """One image per entry of `at`."""
        return Features(self.trunk, self.neck, [h[at] for h in self.high], self.embed[at])


@dataclass
class Frame:
    """What one frame gives for N objects."""
    low: torch.Tensor               # [N,1,S/4,S/4] logits
    pointer: torch.Tensor           # [N,d]
    score: torch.Tensor             # [N,1] logit of "the object is there"
    memory: torch.Tensor = None     # [N,mem_dim,S/16,S/16]
    all: tuple = ()                 # logits [N,3 or 1,..] before "no object", IoU, which was taken


class SAM2(nn.Module):
    def __init__(self, c):
        super().__init__()
        d = c.d_model
        self.config = c
        self.image_encoder = nn.Module()
        self.image_encoder.trunk, self.image_encoder.neck = Trunk(c), Neck(c)
        self.sam_prompt_encoder, self.sam_mask_decoder = PromptEncoder(c), MaskDecoder(c)
        self.memory_attention, self.memory_encoder = MemoryAttention(c), MemoryEncoder(c)
        self.mask_downsample = nn.Conv2d(1, 1, 4, 4)
        self.maskmem_tpos_enc = nn.Parameter(torch.zeros(MEMORIES, 1, 1, c.mem_dim))
        self.no_mem_embed = nn.Parameter(torch.zeros(1, 1, d))
        self.no_mem_pos_enc = nn.Parameter(torch.zeros(1, 1, d))  # official checkpoints have it, nothing uses it
        self.no_obj_ptr = nn.Parameter(torch.zeros(1, d))
        self.no_obj_embed_spatial = nn.Parameter(torch.zeros(1, c.mem_dim))
        self.obj_ptr_proj = MLP(d, d, d, 3)
        self.obj_ptr_tpos_proj = nn.Linear(d, c.mem_dim)

    def features(self, rgb):
        """rgb [N,3,S,S] in 0..1"""
        mean, std = (torch.tensor(v, dtype=rgb.dtype, device=rgb.device)[:, None, None] for v in (MEAN, STD))
        trunk = self.image_encoder.trunk((rgb - mean) / std)
        neck = self.image_encoder.neck(trunk)
        high = [self.sam_mask_decoder.conv_s0(neck[0]), self.sam_mask_decoder.conv_s1(neck[1])]
        return Features(trunk, neck, high, neck[2])

    def still(self, embed):
        """The image embedding where there is no memory."""
        return embed + self.no_mem_embed.view(1, -1, 1, 1)

    def decode(self, embed, high, xy=None, labels=None, masks=None):
        """embed [N or 1,d,h,w] -> the four of MaskDecoder, for N prompts. Without xy no tokens at all."""
        n = len(xy) if xy is not None else len(masks) if masks is not None else len(embed)
        h, w = embed.shape[2:]
        p = self.sam_prompt_encoder
        sparse = embed.new_zeros(n, 0, embed.shape[1]) if xy is None else p.points(xy, labels)
        return self.sam_mask_decoder(embed, high, p.dense_position(h, w), sparse, p.masks(masks, n, h, w))

    def none(self, n):
        """The prompt of a frame without prompts: one point that is none."""
        like = self.no_mem_embed
        return like.new_zeros(n, 1, 2), torch.full((n, 1), -1, device=like.device)

    def single(self, logits, iou):
        """The mask of token 0, or, where that is unstable, the best of the other three: [N,1,..], [N,1]"""
        first = logits[:, :1]
        upper, lower = ((first > t).flatten(1).sum(1) for t in (0.05, -0.05))
        stable = (lower == 0) | (upper >= 0.98 * lower)
        best = 1 + iou[:, 1:].argmax(1)
        at = torch.where(stable, torch.zeros_like(best), best)
        each = torch.arange(len(at), device=at.device)
        return logits[each, at][:, None], iou[each, at][:, None]

    def remember(self, embed, high_res, score):
        """embed [N or 1,d,h,w]; high_res [N,1,S,S] probabilities; score [N,1] -> [N,mem_dim,h,w]"""
        memory = self.memory_encoder(embed, high_res * 20 - 10)
        return memory + (score <= 0).to(memory)[..., None, None] * self.no_obj_embed_spatial[..., None, None]

    def upscale(self, low):
        return F.interpolate(low, size=(self.config.image_size,) * 2, mode="bilinear", align_corners=False)

    def pointer(self, token, there):
        return torch.where(there, self.obj_ptr_proj(token), self.no_obj_ptr)

    def prompted(self, f, masks):
        """A frame whose masks are given: masks [N,1,S,S] of 0 and 1."""
        n = len(masks)
        low = F.interpolate(masks * 20 - 10, scale_factor=0.25, mode="bilinear", antialias=True,
                            align_corners=False)
        given = self.mask_downsample(masks)
        _, _, tokens, score = self.decode(f.embed, f.high, *self.none(n), given)
        there = (masks > 0).flatten(1).any(1, keepdim=True)
        pointer = self.pointer(tokens[:, 0], there & (score > 0))
        score = there.to(masks) * 20 - 10
        memory = self.remember(f.embed, (self.upscale(low) > 0).to(masks), score)
        return Frame(low, pointer, score, memory)

    def recall(self, t, frames, prompted, count, step):
        """What frame t attends to: memory, positions [N,L,mem_dim], and how many of L are pointers.
        frames: t -> Frame; prompted: which of them are; count: frames of the video; step: 1 or -1."""
        c = self.config
        bank = [(MEMORIES - 1, frames[p]) for p in prompted]
        for back in range(MEMORIES - 1, 0, -1):  # the oldest first
            at = t - step * back
            if at in frames and at not in prompted:
                bank.append((back - 1, frames[at]))
        like = bank[0][1].memory
        n, _, h, w = like.shape
        place = sine_2d(c.mem_dim, h, w, like).flatten(2).transpose(1, 2)
        memory = [f.memory.flatten(2).transpose(1, 2) for _, f in bank]
        pos = [(place + self.maskmem_tpos_enc[i]).expand(n, -1, -1) for i, _ in bank]

        longest = min(count, POINTERS)
        pointers = [(step * (t - p), frames[p].pointer) for p in prompted if step * (t - p) >= 0]
        for back in range(1, longest):
            at = t - step * back
            if at in frames and at not in prompted:
                pointers.append((back, frames[at].pointer))
        if not pointers:
            return torch.cat(memory, 1), torch.cat(pos, 1), 0
        parts = c.d_model // c.mem_dim
        ago = torch.tensor([a for a, _ in pointers], dtype=self.maskmem_tpos_enc.dtype, device=like.device)
        ago = self.obj_ptr_tpos_proj(sine_1d(ago / (longest - 1), c.d_model))
        pos.append(ago.repeat_interleave(parts, 0).expand(n, -1, -1))
        memory.append(torch.stack([p for _, p in pointers], 1).view(n, -1, c.mem_dim))
        return torch.cat(memory, 1), torch.cat(pos, 1), len(pointers) * parts

    def track(self, f, t, frames, prompted, count, step=1, remember=True):
        """Frame t of objects known from other frames. f: its features, [N,..] or, for all, [1,..]."""
        memory, pos, plain = self.recall(t, frames, prompted, count, step)
        n = len(memory)
        embed = self.memory_attention(f.embed.expand(n, -1, -1, -1), memory, pos, plain)
        logits, iou, tokens, score = self.decode(embed, f.high, *self.none(n))
        each, best = torch.arange(n, device=embed.device), 1 + iou[:, 1:].argmax(1)
        there = score > 0
        low = torch.where(there[..., None, None], logits[each, best][:, None], NO_OBJECT)
        frame = Frame(low, self.pointer(tokens[each, best], there), score, all=(logits, iou, best))
        if remember:
            frame.memory = self.remember(f.embed, self.upscale(low).sigmoid(), score)
        return frame

    @torch.no_grad()
    def video(self, features, masks, seed):
        """Forward from the seed frame, then backward: the official video predictor with one object, or with
        N that all have the same seed frame. features: a list of T; masks [N,1,S,S].
        -> two dicts t -> Frame. Memory is kept in bfloat16; going backward sees the forward frames'."""
        def kept(frame):
            frame.memory = frame.memory.bfloat16().to(masks.dtype)
            return frame

        count, both = len(features), []
        frames = {seed: kept(self.prompted(features[seed], masks))}
        for step in (1, -1):
            out, t = {seed: frames[seed]}, seed + step
            while 0 <= t < count:
                out[t] = frames[t] = kept(self.track(features[t], t, frames, [seed], count, step))
                t += step
            both.append(out)
        return both
