/// Tells the service manager how we are: sd_notify(3), without its library.
#pragma once

#include <string_view>

namespace warren::control {

/// Sends "READY=1", "STOPPING=1" or the like where NOTIFY_SOCKET says so; without it, or where that
/// fails, does nothing: systemd then treats us as it treats any silent service.
void notify(std::string_view state);

/// "RELOADING=1" with the time that systemd asks for beside it.
void notify_reloading();

}  // namespace warren::control
