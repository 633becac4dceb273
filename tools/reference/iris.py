"""Iris, the model of MASS, in PyTorch: the yardstick that massflow's own model is held to.

Written from the facts (parameter names, shapes, order of operations) so that published weights load
by name; runs in float64 as in float32. Needs only torch.
"""

import torch
import torch.nn.functional as F
from torch import nn

QUERIES = 10  # learned task queries; the foreground token comes after them
LEVELS = 3    # the deepest three scales carry task embeddings
POSITIONS = 128


class PreConv(nn.Module):
    """Instance norm (no affine), ReLU, 3x3x3 convolution without bias."""

    def __init__(self, i, o):
        super().__init__()
        self.conv = nn.Conv3d(i, o, 3, padding=1, bias=False)

    def forward(self, x):
        return self.conv(F.relu(F.instance_norm(x, eps=1e-4)))


class Residual(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.conv1 = PreConv(i, o)
        self.conv2 = PreConv(o, o)
        self.shortcut = PreConv(i, o) if i != o else nn.Identity()

    def forward(self, x):
        return self.conv2(self.conv1(x)) + self.shortcut(x)


class Stem(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.conv1 = nn.Conv3d(1, o, 3, padding=1, bias=False)
        self.conv2 = Residual(o, o)

    def forward(self, x):
        return self.conv2(self.conv1(x))


class Down(nn.Module):
    def __init__(self, i, o, blocks):
        super().__init__()
        more = [Residual(o, o) for _ in range(blocks - 1)]
        self.conv = nn.Sequential(nn.MaxPool3d(2), Residual(i, o), *more)

    def forward(self, x):
        return self.conv(x)


class Encoder(nn.Module):
    def __init__(self, c, blocks):
        super().__init__()
        self.inc = Stem(c[0])
        for level in range(1, 5):
            setattr(self, f"down{level}", Down(c[level - 1], c[level], blocks[level - 1]))

    def forward(self, image):
        """image [B,1,D,H,W] -> features, deepest first."""
        x = self.inc(image)
        features = [x]
        for level in range(1, 5):
            x = getattr(self, f"down{level}")(x)
            features.insert(0, x)
        return features


class Mlp(nn.Module):
    def __init__(self, i, hidden, o):
        super().__init__()
        self.fc1 = nn.Linear(i, hidden)
        self.fc2 = nn.Linear(hidden, o)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Heads(nn.Module):
    """Multi-head attention, 32 channels a head."""

    def __init__(self, dim):
        super().__init__()
        self.mha = nn.MultiheadAttention(dim, dim // 32, batch_first=True)

    def forward(self, query, memory):
        return self.mha(query, memory, memory, need_weights=False)[0]


class SelfBlock(nn.Module):
    """x + attention among the layer-normed x."""

    def __init__(self, dim):
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=1e-4)
        self.fn = Heads(dim)

    def forward(self, x):
        y = self.norm(x)
        return self.fn(y, y) + x


class CrossBlock(nn.Module):
    """x + attention of the layer-normed x to the layer-normed memory."""

    def __init__(self, dim):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.fn = Heads(dim)

    def forward(self, x, memory):
        return self.fn(self.norm1(x), self.norm2(memory)) + x


class MlpBlock(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=1e-4)
        self.fn = Mlp(dim, 4 * dim, dim)

    def forward(self, x):
        return self.fn(self.norm(x)) + x


class TaskBlock(nn.Module):
    """Queries look at one another, at the marked features, and at one another again."""

    def __init__(self, dim):
        super().__init__()
        self.query_attn_block_1 = SelfBlock(dim)
        self.query_ffn_1 = MlpBlock(dim)
        self.query_aggregate_block = CrossBlock(dim)
        self.query_aggregate_ffn = MlpBlock(dim)
        self.query_attn_block_2 = SelfBlock(dim)
        self.query_ffn_2 = MlpBlock(dim)

    def forward(self, features, tokens):
        tokens = self.query_ffn_1(self.query_attn_block_1(tokens))
        tokens = self.query_aggregate_ffn(self.query_aggregate_block(tokens, features))
        return self.query_ffn_2(self.query_attn_block_2(tokens))


class FusionBlock(nn.Module):
    """Tokens read the features, features read the tokens, the tokens of all masks mix."""

    def __init__(self, dim):
        super().__init__()
        self.prior_aggregate_block = CrossBlock(dim)
        self.prior_ffn = MlpBlock(dim)
        self.feat_aggregate_block = CrossBlock(dim)
        self.feat_ffn = MlpBlock(dim)
        self.prior_attn_block = SelfBlock(dim)
        self.prior_ffn_2 = MlpBlock(dim)

    def forward(self, features, tokens):
        tokens = self.prior_ffn(self.prior_aggregate_block(tokens, features))
        features = self.feat_ffn(self.feat_aggregate_block(features, tokens))
        return features, self.prior_ffn_2(self.prior_attn_block(tokens))


def shuffle(x, s):
    """[B, s^3, d, h, w] -> [B, 1, ds, hs, ws]; the channel's digits are (z, y, x) within a cell."""
    b, _, d, h, w = x.shape
    x = x.reshape(b, s, s, s, d, h, w).permute(0, 4, 1, 5, 2, 6, 3)
    return x.reshape(b, 1, d * s, h * s, w * s)


def unshuffle(x, s):
    b, _, d, h, w = x.shape
    x = x.reshape(b, d // s, s, h // s, s, w // s, s).permute(0, 2, 4, 6, 1, 3, 5)
    return x.reshape(b, s ** 3, d // s, h // s, w // s)


def normed(conv):
    """(instance norm, ReLU, convolution) under the published indices: the convolution is 2."""
    return nn.Sequential(nn.InstanceNorm3d(conv.in_channels), nn.ReLU(), conv)


class Position(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(1, 1, POSITIONS, POSITIONS, POSITIONS))


class TaskEncoding(nn.Module):
    """What a mask marks in a feature map, as 11 tokens."""

    def __init__(self, dim, scale):
        super().__init__()
        self.scale = scale
        self.task_query = nn.Parameter(nn.init.xavier_uniform_(torch.zeros(QUERIES, dim)))
        self.attn_layers = nn.ModuleList([TaskBlock(dim) for _ in range(2)])
        for name in ("foreground", "query", "combined", "post"):
            setattr(self, f"norm_{name}", nn.LayerNorm(dim))
        self.expand = normed(nn.Conv3d(dim, scale ** 3, 1))
        self.merge = normed(nn.Conv3d(2, 1, 3, padding=1))
        self.squeeze = normed(nn.Conv3d(scale ** 3, dim, 1))
        self.pos_embed = Position()

    def forward(self, feature, masks):
        """feature [1,C,d,h,w], masks [1,K,D,H,W] of its dtype -> tokens [1,K,11,C]."""
        k, size = masks.shape[1], masks.shape[2:]
        dim = feature.shape[1]
        full = F.interpolate(feature, size=size, mode="trilinear", align_corners=True)
        weight = masks.flatten(2)[0]                              # [K,V]
        mean = weight @ full.flatten(2)[0].T                      # [K,C]
        mean = mean / weight.sum(1, keepdim=True).clamp(min=1)

        x = shuffle(self.expand(feature), self.scale)             # [1,1,D,H,W]
        x = torch.cat([x.expand(k, -1, -1, -1, -1), masks[0][:, None]], 1)
        x = self.merge(x) + self.pos_embed.embedding[:, :, :size[0], :size[1], :size[2]]
        x = self.squeeze(unshuffle(x, self.scale)) + feature
        x = x.flatten(2).transpose(1, 2)                          # [K,L,C]

        queries = self.norm_query(self.task_query)[None].expand(k, -1, -1)
        tokens = torch.cat([queries, self.norm_foreground(mean)[:, None]], 1)
        tokens = self.norm_combined(tokens)
        for layer in self.attn_layers:
            tokens = layer(x, tokens)
        return self.norm_post(tokens).reshape(1, k, QUERIES + 1, dim)


class Fusion(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.attn_layers = nn.ModuleList([FusionBlock(dim) for _ in range(2)])

    def forward(self, x, prior):
        shape, tokens = x.shape, prior.flatten(1, 2)
        x = x.flatten(2).transpose(1, 2)
        for layer in self.attn_layers:
            x, tokens = layer(x, tokens)
        return x.transpose(1, 2).reshape(shape), tokens.reshape(prior.shape)


class Up(nn.Module):
    def __init__(self, i, o, blocks):
        super().__init__()
        more = [Residual(o, o) for _ in range(blocks - 1)]
        self.conv = nn.Sequential(Residual(i + o, o), *more)

    def forward(self, x, skip):
        x = F.interpolate(x, size=skip.shape[2:], mode="trilinear", align_corners=True)
        return self.conv(torch.cat([skip, x], 1))


class Decoder(nn.Module):
    def __init__(self, c, blocks):
        super().__init__()
        self.prior_fuse = nn.ModuleList([Fusion(c[4 - i]) for i in range(LEVELS)])
        for i in range(4):
            setattr(self, f"up{i + 1}", Up(c[4 - i], c[3 - i], blocks[3 - i]))

    def forward(self, features, priors):
        x, posteriors = features[0], []
        for i in range(4):
            if i < LEVELS:
                x, tokens = self.prior_fuse[i](x, priors[i])
                posteriors.append(tokens[:, :, 0])
            x = getattr(self, f"up{i + 1}")(x, features[i + 1])
        return x, posteriors


class Classifier(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.norm = nn.LayerNorm(i)
        self.classifier_pred = nn.Sequential(Mlp(i, i, o), Mlp(o, o, o))
        for m in self.classifier_pred.modules():
            if isinstance(m, nn.Linear):
                nn.init.xavier_uniform_(m.weight)
                nn.init.zeros_(m.bias)

    def forward(self, x, posteriors):
        weight = self.classifier_pred(self.norm(torch.cat(posteriors, 2)))  # [1,K,C]
        return torch.einsum("bkc,bcdhw->bkdhw", weight, x)


class Iris(nn.Module):
    def __init__(self, channels, blocks=(2, 2, 2, 2), priors=73):
        super().__init__()
        self.channels = list(channels)
        self.encoder = Encoder(channels, blocks)
        self.decoder = Decoder(channels, blocks)
        self.task_embedding = nn.ModuleList(
            [TaskEncoding(channels[4 - i], 2 ** (4 - i)) for i in range(LEVELS)])
        for i in range(LEVELS):
            prior = nn.init.xavier_uniform_(torch.zeros(priors, QUERIES + 1, channels[4 - i]))
            self.register_buffer(f"task_prior_{i}", prior)
        self.out = Classifier(sum(channels[2:]), channels[0])

    def encode(self, reference, masks):
        """reference [1,1,D,H,W], masks [1,K,D,H,W] -> priors, deepest first."""
        features = self.encoder(reference)
        return [self.task_embedding[i](features[i], masks) for i in range(LEVELS)]

    def decode(self, target, priors):
        out, posteriors = self.decoder(self.encoder(target), priors)
        return self.out(out, posteriors)

    def forward(self, target, reference, masks):
        """Logits [1,K,D,H,W], and what was passed on the way, under the names of tools/parity."""
        features = self.encoder(target)
        priors = self.encode(reference, masks)
        out, posteriors = self.decoder(features, priors)
        logits = self.out(out, posteriors)
        seen = {f"feat{5 - i}": f for i, f in enumerate(features)}
        seen.update({f"prior{i}": p for i, p in enumerate(priors)})
        seen.update({f"posterior{i}": p for i, p in enumerate(posteriors)})
        seen.update(decoder_out=out, logits=logits)
        return logits, seen

