# A BEAM member of the cluster that docker-compose.yml makes: it connects to the others, registers a greeter under its own
# short name for the whole cluster, and logs members and names whenever they change.
defmodule Greeter do
  use GenServer

  def init(nil), do: {:ok, nil}

  def handle_call(:hello, _from, state) do
    {:reply, "hello from #{node()}, on OTP #{System.otp_release()}", state}
  end
end

defmodule Member do
  def main do
    [short, _host] = node() |> Atom.to_string() |> String.split("@")
    others = for name <- String.split(System.fetch_env!("MEMBERS"), ","), do: String.to_atom(name)
    {:ok, greeter} = GenServer.start_link(Greeter, nil, name: Greeter)
    {:ok, _scope} = :pg.start_link()
    :ok = :pg.join(:greeters, greeter)
    watch(List.delete(others, node()), {String.to_atom(short), greeter}, nil)
  end

  defp watch(others, {name, greeter} = own, seen) do
    Enum.each(others -- Node.list(), &Node.connect/1)
    if :global.whereis_name(name) == :undefined, do: :global.register_name(name, greeter)
    now = {Enum.sort([node() | Node.list()]), Enum.sort(:global.registered_names())}

    if now != seen do
      {members, names} = now
      IO.puts("#{node()}: members #{Enum.join(members, ", ")}; global names #{inspect(names)}")
    end

    Process.sleep(1000)
    watch(others, own, now)
  end
end

Member.main()
