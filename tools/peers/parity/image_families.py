# SPDX-License-Identifier: Apache-2.0
"""One small instance of each family of image classifiers, of grey images, as plain modules."""

import torch
from fixture import run, seeded, weights, write
from torch import nn
from torch.nn import functional as F


def conv(inputs, outputs, kernel, stride=1, groups=1):
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


class PadShortcut(nn.Module):
    """Option A of He et al. 2016: every other cell, between channels of zeros."""

    def __init__(self, inputs, outputs):
        super().__init__()
        before = (outputs - inputs) // 2
        self.padding = (0, 0, 0, 0, before, outputs - inputs - before)

    def forward(self, x):
        return F.pad(x[:, :, ::2, ::2], self.padding)


class BasicBlock(nn.Module):
    def __init__(self, inputs, outputs, stride, projection):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = conv(outputs, outputs, 3), nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity()
        if stride > 1 and projection:
            self.shortcut = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
        elif stride > 1:
            self.shortcut = PadShortcut(inputs, outputs)

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


class ResNet(nn.Module):
    """Of three stages, as for CIFAR."""

    def __init__(self, blocks, width, classes, projection):
        super().__init__()
        self.conv1, self.bn1 = conv(1, width, 3), nn.BatchNorm2d(width)
        for stage in range(3):
            outputs, inputs = width << stage, width << max(stage - 1, 0)
            first = BasicBlock(inputs, outputs, 1 if stage == 0 else 2, projection)
            rest = [BasicBlock(outputs, outputs, 1, projection) for _ in range(blocks - 1)]
            setattr(self, f"layer{stage + 1}", nn.Sequential(first, *rest))
        self.linear = nn.Linear(4 * width, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


class WideBlock(nn.Module):
    """Normalised before its convolutions; where widths differ the shortcut is too."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), conv(inputs, outputs, 3, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(outputs), conv(outputs, outputs, 3)
        self.convShortcut = None if inputs == outputs else conv(inputs, outputs, 1, stride)

    def forward(self, x):
        y = F.relu(self.bn1(x))
        shortcut = self.convShortcut(y) if self.convShortcut else x
        return shortcut + self.conv2(F.relu(self.bn2(self.conv1(y))))


class WideStage(nn.Module):
    def __init__(self, blocks, inputs, outputs, stride):
        super().__init__()
        rest = [WideBlock(outputs, outputs, 1) for _ in range(blocks - 1)]
        self.layer = nn.Sequential(WideBlock(inputs, outputs, stride), *rest)

    def forward(self, x):
        return self.layer(x)


class WideResNet(nn.Module):
    def __init__(self, blocks, width, k, classes):
        super().__init__()
        self.conv1 = conv(1, width, 3)
        self.block1 = WideStage(blocks, width, k * width, 1)
        self.block2 = WideStage(blocks, k * width, 2 * k * width, 2)
        self.block3 = WideStage(blocks, 2 * k * width, 4 * k * width, 2)
        self.bn1, self.fc = nn.BatchNorm2d(4 * k * width), nn.Linear(4 * k * width, classes)

    def forward(self, x):
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        return self.fc(F.relu(self.bn1(x)).mean((2, 3)))


class Vgg8(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        layers, inputs = [], 1
        for scale in (1, 2, 4, 8, 8):
            if layers:
                layers.append(nn.MaxPool2d(2))
            outputs = scale * width
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
            inputs = outputs
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(inputs, classes)

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


class LeNet(nn.Module):
    def __init__(self, conv1, conv2, fc1, fc2, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(1, conv1, 5, padding=2)
        self.conv2 = nn.Conv2d(conv1, conv2, 5)
        self.fc1, self.fc2 = nn.Linear(4 * conv2, fc1), nn.Linear(fc1, fc2)
        self.fc3 = nn.Linear(fc2, classes)

    def forward(self, x):
        x = F.avg_pool2d(torch.tanh(self.conv1(x)), 2)
        x = F.avg_pool2d(torch.tanh(self.conv2(x)), 2).flatten(1)
        return self.fc3(torch.tanh(self.fc2(torch.tanh(self.fc1(x)))))


def conv_bn_relu6(inputs, outputs, kernel, stride=1, groups=1):
    return nn.Sequential(
        conv(inputs, outputs, kernel, stride, groups), nn.BatchNorm2d(outputs), nn.ReLU6()
    )


class InvertedResidual(nn.Module):
    def __init__(self, inputs, outputs, stride, expand):
        super().__init__()
        hidden = inputs * (expand or 1)
        layers = [conv_bn_relu6(inputs, hidden, 1)] if expand else []
        layers += [conv_bn_relu6(hidden, hidden, 3, stride, groups=hidden)]
        layers += [conv(hidden, outputs, 1), nn.BatchNorm2d(outputs)]
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(nn.Module):
    """torchvision's with widths in eighths; repeats: of the stages between the first and last."""

    def __init__(self, width, last, expand, repeats, classes):
        super().__init__()
        layers = [conv_bn_relu6(1, 4 * width, 3, 2), InvertedResidual(4 * width, 2 * width, 1, None)]
        inputs = 2
        for outputs, n, stride in zip((3, 4, 8, 12, 20, 40), (*repeats, 1), (2, 2, 2, 1, 2, 1)):
            for i in range(n):
                layers.append(
                    InvertedResidual(inputs * width, outputs * width, stride if i == 0 else 1, expand)
                )
                inputs = outputs
        layers.append(conv_bn_relu6(inputs * width, last, 1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


def shaken(model):
    """Its parameters and statistics moved away from where they start."""
    with torch.no_grad():
        for i, parameter in enumerate(model.parameters()):
            parameter += seeded(*parameter.shape, seed=10 + i, scale=0.2)
        for i, buffer in enumerate(model.buffers()):
            if buffer.is_floating_point():
                buffer += seeded(*buffer.shape, seed=20 + i, scale=0.2).abs()
    return model


def rounded(value):
    """As f32; what is only the rounding of f64, as the gradient of a bias before a norm is, as 0."""
    if not value.is_floating_point():
        return value
    return value.float() if value.abs().max() > 1e-12 else torch.zeros_like(value.float())


def found(model, x):
    """What a pass in training finds, with the statistics that it leaves behind as after.*, and then
    the output and input gradient of one that is not, with those statistics, as eval.*."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0  # whose masks are limbeck's own
    case = run(shaken(model).double().train(), x.double())
    moved = {key: value for key, value in weights(model, "after.").items() if "running" in key}
    model.zero_grad()
    evaluated = run(model.eval(), x.double())
    case |= moved | {"eval." + key: evaluated[key] for key in ("y", "dx0")}
    return {key: rounded(value) for key, value in case.items()}


if __name__ == "__main__":
    torch.manual_seed(0)
    images, large = seeded(3, 1, 8, 8), seeded(6, 1, 16, 16)
    write(
        "image_families",
        {
            "resnet_a": found(ResNet(1, 2, 3, projection=False), images),
            "resnet_b": found(ResNet(2, 2, 3, projection=True), images),
            "wrn": found(WideResNet(2, 1, 2, 3), images),
            "wrn_1": found(WideResNet(1, 2, 1, 3), images),
            "vgg8": found(Vgg8(1, 3), large),
            "lenet": found(LeNet(2, 3, 5, 4, 3), seeded(2, 1, 16, 16)),
            "mobilenetv2": found(MobileNetV2(1, 6, 1, (1, 2, 1, 1, 1), 3), large),
        },
    )
