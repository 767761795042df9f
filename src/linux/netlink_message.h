/// The bytes of rtnetlink requests and answers; for the files of this folder that speak it.
#pragma once

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <string>
#include <string_view>

#include <warren/address.h>
#include <warren/result.h>

#include "linux/netlink.h"

namespace warren::netlink {

/// One request: a header, a fixed part, attributes.
class Message {
 public:
  template <class Body>
  Message(std::uint16_t type, unsigned flags, const Body& body) {
    header_ = mnl_nlmsg_put_header(buffer_.data());
    header_->nlmsg_type = type;
    header_->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    std::memcpy(mnl_nlmsg_put_extra_header(header_, sizeof body), &body, sizeof body);
  }
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;

  [[nodiscard]] nlmsghdr* header() { return header_; }
  [[nodiscard]] ifinfomsg* link() {
    return static_cast<ifinfomsg*>(mnl_nlmsg_get_payload(header_));
  }

  void put(std::uint16_t type, std::uint8_t value) { mnl_attr_put_u8(header_, type, value); }
  void put(std::uint16_t type, std::uint32_t value) { mnl_attr_put_u32(header_, type, value); }
  void put_network(std::uint16_t type, std::uint16_t value) {
    mnl_attr_put_u16(header_, type, htons(value));
  }
  void put(std::uint16_t type, std::string_view text) {
    mnl_attr_put_strz(header_, type, std::string(text).c_str());
  }
  void put(std::uint16_t type, const IpAddress& address) {
    mnl_attr_put(header_, type, address.bits() / 8, address.bytes.data());
  }
  void put(std::uint16_t type, const MacAddress& mac) {
    mnl_attr_put(header_, type, mac.bytes.size(), mac.bytes.data());
  }
  template <class Body>
  void put_body(const Body& body) {
    std::memcpy(mnl_nlmsg_put_extra_header(header_, sizeof body), &body, sizeof body);
  }
  /// Attributes that `fill` puts go inside one of `type`.
  template <class Fill>
  void nest(std::uint16_t type, Fill&& fill) {
    auto* outer = mnl_attr_nest_start(header_, type);
    fill();
    mnl_attr_nest_end(header_, outer);
  }

 private:
  alignas(nlmsghdr) std::array<char, 4096> buffer_{};
  nlmsghdr* header_ = nullptr;
};

/// Calls `each` with every message of a datagram.
template <class Each>
void for_each_message(const char* datagram, ssize_t size, Each&& each) {
  int left = static_cast<int>(size);
  for (const auto* message = static_cast<const nlmsghdr*>(static_cast<const void*>(datagram));
       mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
    each(message);
}

/// Calls `each` with every attribute in [first, first + length).
template <class Each>
void for_each_attribute(const void* first, std::size_t length, Each&& each) {
  const auto* attribute = static_cast<const nlattr*>(first);
  for (int left = static_cast<int>(length); mnl_attr_ok(attribute, left);
       attribute = mnl_attr_next(attribute)) {
    each(attribute);
    left -= static_cast<int>(MNL_ALIGN(attribute->nla_len));
  }
}

/// The attributes behind the fixed part of a message, which is `offset` bytes long.
template <class Each>
void for_each_attribute(const nlmsghdr* header, std::size_t offset, Each&& each) {
  const std::size_t length = mnl_nlmsg_get_payload_len(header);
  if (offset > length) return;
  for_each_attribute(mnl_nlmsg_get_payload_offset(header, offset), length - MNL_ALIGN(offset),
                     each);
}

/// The address in an attribute, by its length; nothing where it has none.
[[nodiscard]] std::optional<IpAddress> get_address(const nlattr* attribute);
[[nodiscard]] Result<> check_name(std::string_view name);
[[nodiscard]] std::uint8_t family_of(const IpAddress& address);
[[nodiscard]] Link parse_link(const nlmsghdr* header);

}  // namespace warren::netlink
