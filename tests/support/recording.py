"""A second, plain implementation of the algorithm, which writes recordings of any size for `dac parity`.

One run, one network at a time, autograd through everything, PyTorch's own mish and Adam: as near to the text of the
algorithm as can be, and sharing no line with `dac.agent`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Case:
    """Settings of a recording; names as in the released code where it has them."""

    observation_dim: int = 3
    action_dim: int = 2
    batch: int = 8
    T: int = 3
    num_qs: int = 2
    num_q_samples: int = 3
    num_action_samples: int = 5
    hidden_dims: tuple[int, ...] = (12, 10)
    Q_guidance: str = "soft"
    q_tar: str = "lcb"
    maxQ: bool = False  # noqa: N815 - the released code's name
    rho: float = 1.0
    eta: float = 0.8
    eta_lr: float = 0.05
    bc_threshold: float = 0.7
    lr_decay_steps: int = 10
    step_start_ema: int = 0
    update_ema_every: int = 2
    actor_lr: float = 3e-3
    critic_lr: float = 2e-3


class Mlp(nn.Module):
    def __init__(self, *sizes: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = functional.mish(layer(x))
        return self.layers[-1](x)  # type: ignore[no-any-return]


class Recorder:
    def __init__(self, case: Case) -> None:
        torch.manual_seed(0)
        torch.set_default_dtype(torch.float64)
        self.case = case
        self.arrays: dict[str, Any] = {f"config/{name}": value for name, value in vars(case).items()}
        for name in ("Q_guidance", "q_tar"):
            self.arrays[f"config/{name}"] = np.bytes_(getattr(case, name))
        t = torch.arange(1, case.T + 1)
        alpha = torch.exp(-0.1 / case.T - 0.5 * 9.9 * (2 * t - 1) / case.T**2)
        self.beta = torch.cat([torch.zeros(1), 1 - alpha])
        self.alpha_bar = torch.cumprod(1 - self.beta, 0)
        self.arrays["schedule/betas"], self.arrays["schedule/alpha_hats"] = self.beta, self.alpha_bar
        width = case.observation_dim + case.action_dim
        self.time, self.target_time = (Mlp(16, 32, 32) for _ in range(2))
        self.noise, self.target_noise = (Mlp(width + 32, *case.hidden_dims, case.action_dim) for _ in range(2))
        self.critics, self.targets = (
            nn.ModuleList(Mlp(width, *case.hidden_dims, 1) for _ in range(case.num_qs)) for _ in range(2)
        )
        self.actor = nn.ModuleList([self.time, self.noise])
        self.target_actor = nn.ModuleList([self.target_time, self.target_noise])
        self.target_actor.load_state_dict(self.actor.state_dict())
        self.targets.load_state_dict(self.critics.state_dict())
        self.eta = torch.tensor(case.eta)
        self.record_networks("init/", {"actor": self.actor, "critic": self.critics})

    def record_networks(self, prefix: str, networks: dict[str, nn.ModuleList]) -> None:
        for name, network in networks.items():
            if name.startswith("actor"):
                for part, mlp in enumerate(network):
                    for i, layer in enumerate(mlp.layers):  # type: ignore[arg-type]
                        self.arrays[f"{prefix}{name}/MLP_{part}/Dense_{i}/kernel"] = layer.weight.T.detach().clone()
                        self.arrays[f"{prefix}{name}/MLP_{part}/Dense_{i}/bias"] = layer.bias.detach().clone()
                continue
            for i in range(len(self.case.hidden_dims) + 1):
                layers = [mlp.layers[i] for mlp in network]  # type: ignore[index]
                key = f"{prefix}{name}/VmapQNet_0/MLP_0/Dense_{i}"
                self.arrays[f"{key}/kernel"] = torch.stack([layer.weight.T.detach().clone() for layer in layers])
                self.arrays[f"{key}/bias"] = torch.stack([layer.bias.detach().clone() for layer in layers])

    def eps(self, actor: nn.ModuleList, x: Tensor, s: Tensor, t: Tensor) -> Tensor:
        f = torch.exp(-torch.arange(8) * math.log(10000.0) / 7)
        angle = t.unsqueeze(-1) * f
        embedded = actor[0](torch.cat([angle.cos(), angle.sin()], -1))
        return actor[1](torch.cat([s, x, embedded.expand(len(x), -1)], -1))  # type: ignore[no-any-return]

    def sample(self, actor: nn.ModuleList, s: Tensor, prior: Tensor, z: Tensor) -> Tensor:
        x = prior
        for row, t in enumerate(range(self.case.T, 0, -1)):
            noise = self.eps(actor, x, s, torch.tensor(t))
            a, before = self.alpha_bar[t], self.alpha_bar[t - 1]
            clean = ((x - (1 - a).sqrt() * noise) / a.sqrt()).clamp(-1, 1)
            mean = (before.sqrt() * self.beta[t] * clean + (1 - self.beta[t]).sqrt() * (1 - before) * x) / (1 - a)
            x = mean + (self.beta[t].sqrt() * z[row] if t > 1 else 0)
        return x

    def q(self, critics: nn.ModuleList, s: Tensor, a: Tensor) -> Tensor:
        return torch.stack([critic(torch.cat([s, a], -1)).squeeze(-1) for critic in critics])

    def draw(self, key: str, *shape: int) -> Tensor:
        value = torch.randn(*shape).float().double()
        self.arrays[key] = value
        return value

    def run(self, steps: int) -> None:
        case = self.case
        optimisers = [
            torch.optim.Adam(self.critics.parameters(), lr=case.critic_lr),
            torch.optim.Adam(self.actor.parameters(), lr=case.actor_lr),
        ]
        for step in range(steps):
            decay = 0.5 * (1 + math.cos(math.pi * min(step / case.lr_decay_steps, 1)))
            for optimiser, lr in zip(optimisers, (case.critic_lr, case.actor_lr), strict=True):
                optimiser.param_groups[0]["lr"] = lr * decay
            self.step(step, *optimisers)
            if step in (0, steps - 1):
                networks = {"actor": self.actor, "actor_tar": self.target_actor}
                critics = {"critic": self.critics, "critic_tar": self.targets}
                self.record_networks(f"step{step}/after/", {**networks, **critics})
        self.act()

    def step(self, step: int, critic_optimiser: torch.optim.Adam, actor_optimiser: torch.optim.Adam) -> None:
        case, p = self.case, f"step{step}/"
        b, n, a_dim = case.batch, case.num_q_samples, case.action_dim
        s = self.draw(p + "batch/observations", b, case.observation_dim)
        s2 = self.draw(p + "batch/next_observations", b, case.observation_dim)
        reward = self.draw(p + "batch/rewards", b)
        action = torch.tanh(torch.randn(b, a_dim)).float().double()
        mask = (torch.rand(b) > 0.3).double()
        self.arrays |= {p + "batch/actions": action, p + "batch/masks": mask}
        prior, z = self.draw(p + "critic/prior", b * n, a_dim), self.draw(p + "critic/z", case.T, b * n, a_dim)
        info: dict[str, Tensor] = {}
        with torch.no_grad():
            repeated = s2.repeat_interleave(n, 0)
            a2 = self.sample(self.target_actor, repeated, prior, z)
            next_q = self.q(self.targets, repeated, a2).view(-1, b, n)
            self.arrays |= {p + "critic/next_actions": a2, p + "critic/next_q": next_q}
            v = next_q.max(-1).values if case.maxQ else next_q.mean(-1)
            low, high = v.min(0).values, v.max(0).values
            v = {
                "lcb": v.mean(0) - case.rho * v.std(0, correction=0),
                "min": low,
                "convex": case.rho * low + (1 - case.rho) * high,
            }[case.q_tar]
            y = reward + 0.99 * mask * v
        q = self.q(self.critics, s, action)
        info["critic_loss"] = ((q - y) ** 2).mean()
        info["qs"], info["qs_std"] = q.mean(), q.std(0, correction=0).mean()
        self.descend(critic_optimiser, self.critics, info["critic_loss"])
        self.follow(self.targets, self.critics)
        info |= self.actor_loss(p, s, action)
        self.descend(actor_optimiser, self.actor, info["actor_loss"])
        info["eta"] = self.eta
        if case.eta_lr > 0 and case.Q_guidance != "none":
            rise = case.eta_lr * (info["bc_loss"].detach() - case.bc_threshold).clamp(-1, 1)
            self.eta = (self.eta + rise).clamp(1e-3, 100)
        if step % case.update_ema_every == 0 and step > case.step_start_ema:
            self.follow(self.target_actor, self.actor)
        self.arrays[p + "eta_after"] = self.eta
        self.arrays |= {f"{p}info/{name}": value.detach() for name, value in info.items()}

    def actor_loss(self, p: str, s: Tensor, action: Tensor) -> dict[str, Tensor]:
        case = self.case
        t = torch.randint(1, case.T + 1, (case.batch,))
        self.arrays[p + "actor/t"] = t
        eps = self.draw(p + "actor/eps", *action.shape)
        scale = (1 - self.alpha_bar[t]).sqrt()[:, None]
        x_t = self.alpha_bar[t].sqrt()[:, None] * action + scale * eps
        found = self.eps(self.actor, x_t, s, t)
        bc = ((found - eps) ** 2).mean()
        norm = self.q(self.targets, s, action).abs().mean().detach()
        inputs = x_t.detach().requires_grad_()
        (slope,) = torch.autograd.grad(self.q(self.targets, s, inputs).mean(0).sum(), inputs)
        g = slope / (norm + 1e-6)
        if case.Q_guidance == "denoised":
            prior = self.draw(p + "actor/prior", *action.shape)
            z = self.draw(p + "actor/z", case.T, *action.shape)
            denoised = self.sample(self.actor, s, prior, z)
            guidance = -self.q(self.targets, s, denoised).mean() / (norm + 1e-6)
        else:
            weight = {"soft": scale, "hard": torch.ones_like(scale), "none": torch.zeros_like(scale)}[case.Q_guidance]
            guidance = (weight * g * found).mean()
        return {
            "bc_loss": bc, "guidance_loss": guidance, "actor_loss": self.eta * bc + guidance, "Q_norm": norm,
            "Q_grad": g.mean(), "Q_grad_abs": g.abs().mean(),
        }  # fmt: skip

    def descend(self, optimiser: torch.optim.Adam, network: nn.ModuleList, loss: Tensor) -> None:
        for parameter in network.parameters():
            parameter.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        # Not clip_grad_norm_, which adds 1e-6 to the norm.
        norm = torch.sqrt(sum((parameter.grad**2).sum() for parameter in network.parameters()))  # type: ignore
        for parameter in network.parameters():
            parameter.grad *= torch.clamp(1 / norm, max=1.0)
        optimiser.step()

    def follow(self, target: nn.ModuleList, online: nn.ModuleList) -> None:
        with torch.no_grad():
            for old, new in zip(target.parameters(), online.parameters(), strict=True):
                old.mul_(0.995).add_(0.005 * new)

    @torch.no_grad()
    def act(self) -> None:
        case, states = self.case, 4
        rows = states * case.num_action_samples
        s = self.draw("act/obs", states, case.observation_dim).repeat_interleave(case.num_action_samples, 0)
        prior = self.draw("act/prior", rows, case.action_dim)
        actions = self.sample(self.actor, s, prior, self.draw("act/z", case.T, rows, case.action_dim))
        q = self.q(self.targets, s, actions).mean(0).view(states, -1)
        candidates = actions.view(states, case.num_action_samples, -1)
        chosen = candidates[torch.arange(states), q.argmax(1)].clamp(-1, 1)
        self.arrays |= {"act/candidates": candidates, "act/q": q, "act/chosen": chosen}


def record(path: Path, case: Case, steps: int = 5) -> None:
    """Write a recording of `steps` gradient steps in the format of `dac parity`, in float64."""
    try:
        recorder = Recorder(case)
        recorder.run(steps)
    finally:
        torch.set_default_dtype(torch.float32)
    np.savez(path, **{name: np.asarray(value) for name, value in recorder.arrays.items()})
