"""A random encoder in the released form, and its checkpoint on disk."""

import torch

from dancemvp_core.released.encoder import ReleasedEncoder


def trained_looking(seed=0) -> ReleasedEncoder:
    """An encoder whose every weight and running statistic matters."""
    torch.manual_seed(seed)
    made = ReleasedEncoder()
    with torch.no_grad():
        for p in made.parameters():
            p.add_(0.05 * torch.randn_like(p))
    for layer in made.modules():
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            layer.running_mean.normal_(generator=torch.Generator().manual_seed(seed))
            layer.running_var.uniform_(0.5, 2.0, generator=torch.Generator().manual_seed(seed))
    return made.eval()


def saved(path, change=lambda content: None):
    made = trained_looking()
    content = {
        "epoch": 100, "state_dict_mo": made.motion.state_dict(), "state_dict_mu": made.music.state_dict(),
        "state_dict_mlp": made.mlp.state_dict(), "optimizer": torch.optim.Adam(made.parameters()).state_dict(),
    }  # fmt: skip
    change(content)
    torch.save(content, path)
    return made
