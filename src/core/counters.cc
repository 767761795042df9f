#include <warren/counters.h>

namespace warren {

std::string_view drop_reason_name(DropReason reason) noexcept {
  switch (reason) {
    case DropReason::no_buffer:
      return "no_buffer";
    case DropReason::malformed:
      return "malformed";
    case DropReason::bad_offload:
      return "bad_offload";
    case DropReason::too_big:
      return "too_big";
    case DropReason::no_link:
      return "no_link";
    case DropReason::queue_full:
      return "queue_full";
    case DropReason::device_error:
      return "device_error";
    case DropReason::wrong_medium:
      return "wrong_medium";
    case DropReason::impaired:
      return "impaired";
    case DropReason::count_:
      break;
  }
  return "unknown";
}

}  // namespace warren
