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
    case DropReason::no_peer:
      return "no_peer";
    case DropReason::no_endpoint:
      return "no_endpoint";
    case DropReason::no_session:
      return "no_session";
    case DropReason::not_authentic:
      return "not_authentic";
    case DropReason::replayed:
      return "replayed";
    case DropReason::wrong_source:
      return "wrong_source";
    case DropReason::under_load:
      return "under_load";
    case DropReason::same_port:
      return "same_port";
    case DropReason::isolated:
      return "isolated";
    case DropReason::reserved:
      return "reserved";
    case DropReason::loop:
      return "loop";
    case DropReason::wrong_network:
      return "wrong_network";
    case DropReason::congested:
      return "congested";
    case DropReason::count_:
      break;
  }
  return "unknown";
}

}  // namespace warren
