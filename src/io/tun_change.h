/// Changes a running device from one description to another, without making it anew.
#pragma once

#include <warren/tun.h>

namespace warren {

/// True where only a new device can match `after`: another name, mode or owner, or a setting that it
/// leaves to the kernel's default, which only a new device shows.
[[nodiscard]] bool needs_new_device(const TunConfig& before, const TunConfig& after);

/// Takes away what only `before` has and adds what only `after` has; what others have set by hand stays.
/// Where it fails, half of it may be done: change it back.
[[nodiscard]] Result<> change_tun(Tun& tun, const TunConfig& before, const TunConfig& after);

}  // namespace warren
