/// What the running kernel calls itself. Vendors put later features into older versions, so this is
/// only for what cannot be tried out.
#pragma once

namespace warren {

[[nodiscard]] bool kernel_is_at_least(int major, int minor) noexcept;

}  // namespace warren
