// Whatever is a ticket says the same when it is printed and read again, and can stand in a shell.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "carrier/ticket.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(data[i]);
  const auto ticket = warren::carrier::Ticket::parse(text);
  if (!ticket) return 0;
  const auto printed = ticket->to_string();
  const auto again = warren::carrier::Ticket::parse(printed);
  if (!again || *again != *ticket) std::abort();
  if (printed.find_first_of(" \t\n\"'`$\\;&|<>(){}*?!~#") != std::string::npos) std::abort();
  return 0;
}
