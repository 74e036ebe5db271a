"""The networks of timm in PyTorch's functions, from the arrays alone.

Written from the papers and the names of the arrays; nothing is shared with eqnets.
"""

import numpy as np


def run(family, arrays, images, **shape):
    """Logits ``[B, K]`` of images ``[B, H, W, 3]`` of a network of one family."""
    import torch

    with torch.no_grad():
        net = Net(torch, arrays)
        x = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2)
        return getattr(net, family)(x, **shape).numpy()


class Net:
    def __init__(self, torch, arrays):
        self.torch, self.F = torch, torch.nn.functional
        self.w = {n: torch.from_numpy(np.array(a)) for n, a in arrays.items()}

    def has(self, prefix):
        return any(name.startswith(prefix) for name in self.w)

    def conv(self, x, name, stride=1, padding=0, groups=1):
        bias = self.w.get(f"{name}.bias")
        kernel = self.w[f"{name}.weight"]
        return self.F.conv2d(x, kernel, bias, stride, padding, groups=groups)

    def linear(self, x, name):
        return self.F.linear(x, self.w[f"{name}.weight"], self.w.get(f"{name}.bias"))

    def batch(self, x, name):
        parts = ("running_mean", "running_var", "weight", "bias")
        return self.F.batch_norm(x, *(self.w[f"{name}.{p}"] for p in parts))

    def norm(self, x, name, eps=1e-6):
        pair = self.w[f"{name}.weight"], self.w[f"{name}.bias"]
        return self.F.layer_norm(x, x.shape[-1:], *pair, eps)

    def norm2d(self, x, name):
        return self.norm(x.permute(0, 2, 3, 1), name).permute(0, 3, 1, 2)

    def mlp(self, x, name):
        return self.linear(self.F.gelu(self.linear(x, f"{name}.fc1")), f"{name}.fc2")

    def resnet(self, x):
        F = self.F
        x = F.relu(self.batch(self.conv(x, "conv1", 2, 3), "bn1"))
        x = F.max_pool2d(x, 3, 2, 1)
        for stage in range(1, 5):
            i = 0
            while self.has(name := f"layer{stage}.{i}."):
                stride = 2 if stage > 1 and i == 0 else 1
                deep = self.has(name + "conv3")
                y = self.batch(
                    self.conv(x, name + "conv1", *((1, 0) if deep else (stride, 1))),
                    name + "bn1",
                )
                y = self.conv(F.relu(y), name + "conv2", stride if deep else 1, 1)
                y = self.batch(y, name + "bn2")
                if deep:
                    y = self.batch(self.conv(F.relu(y), name + "conv3"), name + "bn3")
                if self.has(name + "downsample"):
                    x = self.conv(x, name + "downsample.0", stride)
                    x = self.batch(x, name + "downsample.1")
                x, i = F.relu(x + y), i + 1
        return self.linear(x.mean((2, 3)), "fc")

    def vgg(self, x, layers):
        """``layers`` names what stands at each place: c, b, r, m."""
        for i, kind in enumerate(layers):
            if kind == "c":
                x = self.conv(x, f"features.{i}", 1, 1)
            elif kind == "b":
                x = self.batch(x, f"features.{i}")
            else:
                x = self.F.relu(x) if kind == "r" else self.F.max_pool2d(x, 2, 2)
        for name in ("fc1", "fc2"):
            x = self.F.relu(self.conv(x, f"pre_logits.{name}"))
        return self.linear(x.mean((2, 3)), "head.fc")

    def densenet(self, x):
        F, name = self.F, "features."
        x = F.relu(self.batch(self.conv(x, f"{name}conv0", 2, 3), f"{name}norm0"))
        x, block = F.max_pool2d(x, 3, 2, 1), 1
        while self.has(f"{name}denseblock{block}."):
            i, parts = 1, [x]
            while self.has(at := f"{name}denseblock{block}.denselayer{i}."):
                y = self.torch.cat(parts, 1)
                for n, padding in ((1, 0), (2, 1)):
                    y = F.relu(self.batch(y, f"{at}norm{n}"))
                    y = self.conv(y, f"{at}conv{n}", 1, padding)
                parts.append(y)
                i += 1
            x, at = self.torch.cat(parts, 1), f"{name}transition{block}."
            if self.has(at):
                x = self.conv(F.relu(self.batch(x, f"{at}norm")), f"{at}conv")
                x = F.avg_pool2d(x, 2, 2)
            block += 1
        x = F.relu(self.batch(x, f"{name}norm5"))
        return self.linear(x.mean((2, 3)), "classifier")

    def mixer(self, x):
        x = self.conv(x, "stem.proj", self.w["stem.proj.weight"].shape[-1])
        x, i = x.flatten(2).transpose(1, 2), 0
        while self.has(name := f"blocks.{i}."):
            y = self.norm(x, f"{name}norm1").transpose(1, 2)
            x = x + self.mlp(y, f"{name}mlp_tokens").transpose(1, 2)
            x = x + self.mlp(self.norm(x, f"{name}norm2"), f"{name}mlp_channels")
            i += 1
        return self.linear(self.norm(x, "norm").mean(1), "head")

    def convnext(self, x):
        x, stage = self.norm2d(self.conv(x, "stem.0", 4), "stem.1"), 0
        while self.has(f"stages.{stage}."):
            at, i = f"stages.{stage}.downsample.", 0
            if self.has(at):
                x = self.conv(self.norm2d(x, f"{at}0"), f"{at}1", 2)
            while self.has(name := f"stages.{stage}.blocks.{i}."):
                y = self.conv(x, f"{name}conv_dw", 1, 3, groups=x.shape[1])
                y = self.norm(y.permute(0, 2, 3, 1), f"{name}norm")
                y = self.w[f"{name}gamma"] * self.mlp(y, f"{name}mlp")
                x, i = x + y.permute(0, 3, 1, 2), i + 1
            stage += 1
        return self.linear(self.norm(x.mean((2, 3)), "head.norm"), "head.fc")

    def swin(self, x, window, heads):
        """Attention with a mask over the whole image in place of windows."""
        x = self.conv(
            x, "patch_embed.proj", self.w["patch_embed.proj.weight"].shape[-1]
        )
        x = self.norm(x.permute(0, 2, 3, 1), "patch_embed.norm", 1e-5)
        for stage, count in enumerate(heads):
            at = f"layers.{stage}."
            if self.has(f"{at}downsample"):
                x = self.merged(x, f"{at}downsample.")
            i = 0
            while self.has(name := f"{at}blocks.{i}."):
                y = self.norm(x, f"{name}norm1", 1e-5)
                shift = window // 2 if i % 2 and min(x.shape[1:3]) > window else 0
                x = x + self.windowed(y, f"{name}attn.", window, shift, count)
                x = x + self.mlp(self.norm(x, f"{name}norm2", 1e-5), f"{name}mlp")
                i += 1
        return self.linear(self.norm(x, "norm", 1e-5).mean((1, 2)), "head.fc")

    def merged(self, x, name):
        quarters = [x[:, i::2, j::2] for i, j in ((0, 0), (1, 0), (0, 1), (1, 1))]
        x = self.norm(self.torch.cat(quarters, -1), f"{name}norm", 1e-5)
        return self.linear(x, f"{name}reduction")

    def windowed(self, x, name, window, shift, heads):
        b, h, w, c = x.shape
        window = min(window, h, w)
        rows, columns = np.divmod(np.arange(h * w), w)
        # shifted windows begin at -shift; those across the frame are cut by it
        own = [(n + window - shift) // window for n in (rows, columns)]
        near = np.logical_and.reduce([n[:, None] == n for n in own])
        gap = [n[:, None] - n for n in (rows, columns)]
        index = (gap[0] + window - 1) * (2 * window - 1) + gap[1] + window - 1
        table = self.w[f"{name}relative_position_bias_table"]
        bias = table[np.where(near, index, 0)].permute(2, 0, 1)
        hidden = self.torch.from_numpy(np.where(near, 0, -np.inf).astype(np.float32))
        qkv = self.linear(x.reshape(b, h * w, c), f"{name}qkv")
        qkv = qkv.reshape(b, h * w, 3, heads, c // heads).permute(2, 0, 3, 1, 4)
        y = self.F.scaled_dot_product_attention(*qkv, attn_mask=bias + hidden)
        return self.linear(y.transpose(1, 2).reshape(b, h, w, c), f"{name}proj")
